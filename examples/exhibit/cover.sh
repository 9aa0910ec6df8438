#!/bin/sh
# A prefix that shows the file's own explanation: the smallest engine that there can be.
# Everything behind the last line is the archive; the shell never gets there.
if command -v unzip >/dev/null 2>&1; then
  unzip -p "$0" META-LLAMAFILE/README.txt
else
  echo "This is a llamafile and a ZIP archive. List it with any unzip program: unzip -l $0"
fi
exit 0
