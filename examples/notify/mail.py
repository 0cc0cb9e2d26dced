"""Mails how a run ended, if it did not end well: reconcile apply --yes --notify "python mail.py FILE".

FILE is TOML, as mail.toml beside this file. Nobody else should be able to read it if there is a password in it.
"""

import email.message
import json
import os
import smtplib
import ssl
import sys
import tomllib

run = json.load(sys.stdin)
with open(sys.argv[1], "rb") as file:
    settings = tomllib.load(file)
if os.environ["RECONCILE_EXIT_CODE"] == "0" and not settings.get("always"):
    raise SystemExit
message = email.message.EmailMessage()
message["Subject"] = run["summary"]
message["From"] = settings["sender"]
message["To"] = settings["to"]
message.set_content(run["text"])
with smtplib.SMTP(settings["host"], settings["port"], timeout=20) as server:
    server.ehlo()
    if settings.get("user") or server.has_extn("starttls"):  # no password goes over the wire as it is
        server.starttls(context=ssl.create_default_context())
    if settings.get("user"):
        server.login(settings["user"], settings["password"])
    server.send_message(message)
