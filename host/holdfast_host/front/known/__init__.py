"""The way past the parser, for calls whose heads are known byte for byte. One folder, one flag."""
