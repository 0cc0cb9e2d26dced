"""Posts how a run ended to Microsoft Teams: reconcile apply --yes --notify "python teams.py FILE".

FILE holds the URL of the channel's workflow "Post to a channel when a webhook request is received". It is a secret:
whoever has it can post, so let nobody else read it.
"""

import json
import os
import sys
import urllib.request

run = json.load(sys.stdin)
failed = os.environ["RECONCILE_EXIT_CODE"] != "0"
first, *more = run["text"].splitlines()
card = {
    "type": "AdaptiveCard",
    "version": "1.4",
    "body": [
        {
            "type": "TextBlock",
            "text": first,
            "wrap": True,
            "weight": "Bolder",
            "color": "Attention" if failed else "Good",
        },
        *({"type": "TextBlock", "text": line, "wrap": True, "spacing": "Small"} for line in more),
    ],
}
attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
with open(sys.argv[1], encoding="utf-8") as file:
    url = file.read().strip()
body = json.dumps({"type": "message", "attachments": [attachment]}).encode()
urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"}), timeout=20)
