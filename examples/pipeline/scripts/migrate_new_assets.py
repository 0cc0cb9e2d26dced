"""Uploads what is new of a character, or of all, and puts gs:// URIs into the records: --char-id=ai_hoshino."""

import subprocess
import sys

if __name__ == "__main__":
    sys.exit(subprocess.call([sys.executable, "-m", "reconcile", "apply", "--yes", *sys.argv[1:]]))
