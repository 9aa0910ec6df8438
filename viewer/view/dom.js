// Every element of the page is made here: text is set as text, and nothing is ever parsed as markup.

/** An element `tag` with properties `how` (`class`, `for`, `aria-…` and other attributes; `on…` handlers as functions) and
 * children: elements, or strings that become text. */
export function element(tag, how = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(how)) {
    if (typeof value === "function") made.addEventListener(name.replace(/^on/, ""), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== undefined) made.setAttribute(name, String(value));
  }
  made.append(...children.filter(child => child !== undefined && child !== null));
  return made;
}

/** `parent` with `children` instead of what was in it. */
export function fill(parent, ...children) {
  parent.replaceChildren(...children.filter(child => child !== undefined && child !== null));
  return parent;
}
