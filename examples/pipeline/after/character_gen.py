"""Draws a character, and its cosplay."""

import sys

from pipeline_db import register_character, upsert_asset
from rendering import render
from utils.cloud_utils import auto_upload_to_gcs


@auto_upload_to_gcs(asset_type="character_image")
def generate_character_image(char_id: str) -> str:
    return render(f"characters/{char_id}.png", f"{char_id}, smiling")


@auto_upload_to_gcs(asset_type="character_cosplay")
def generate_cosplay_image(char_id: str) -> str:
    return render(f"characters/{char_id}_cosplay.png", f"{char_id}, in costume")


def main(char_id: str) -> None:
    register_character(char_id, char_id.replace("_", " ").title(), "Oshi no Ko")
    local_path, gcs_uri = generate_character_image(char_id)
    cosplay_path, cosplay_uri = generate_cosplay_image(char_id)
    upsert_asset(char_id, {"title": "primary", "anime_image": local_path, "cosplay_image": cosplay_path})
    print(gcs_uri, cosplay_uri)


if __name__ == "__main__":
    main(sys.argv[1])
