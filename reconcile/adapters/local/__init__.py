"""The local folder: walked, hashed, watched and written."""
