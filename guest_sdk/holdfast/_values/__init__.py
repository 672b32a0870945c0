"""Values as text and from text: the codec that `wit/storage.wit` specifies, and arguments by their annotations."""
