"""Posts how a run ended to Slack: reconcile apply --yes --notify "python slack.py FILE".

FILE holds the URL of an incoming webhook of yours. It is a secret: whoever has it can post, so let nobody else read it.
"""

import json
import sys
import urllib.request

run = json.load(sys.stdin)
text = run["text"].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")  # or it would be read as a link
with open(sys.argv[1], encoding="utf-8") as file:
    url = file.read().strip()
body = json.dumps({"text": text}).encode()
urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"}), timeout=20)
