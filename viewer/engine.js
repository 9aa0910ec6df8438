// Running a build that is inside (chapter 14): the place in the page where that goes.

/** Put what runs a build into `root` (an element). `checkedMembers` is a Set of the paths whose every chunk was checked in
 * this page and found right. Called once a file has been read; `manifest` is the decoded manifest. */
export function mountEngine(root, file, manifest, checkedMembers) {
  root.hidden = true;
}
