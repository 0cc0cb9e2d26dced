"""The local folder: walking, hashing, watching and writing files."""
