"""The archive: records, a strict reader, the writer, the views that other readers have (spec/1, chapter 4)."""
