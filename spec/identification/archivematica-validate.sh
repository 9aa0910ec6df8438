#!/bin/sh
# A validation command of Archivematica's format policy registry: the file is its only argument.
exec llamafile-format verify --format archivematica -- "$1"
