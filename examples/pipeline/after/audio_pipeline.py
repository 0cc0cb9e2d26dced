"""Composes music for a remix."""

import sys

from rendering import render
from utils.cloud_utils import auto_upload_to_gcs


@auto_upload_to_gcs(asset_type="ai_music")
def make_music(char_id: str, style: str) -> str:
    return render(f"remixes/{char_id}_{style}/result/generated_kpop_music.mp3", f"{char_id}, {style}")


def main(char_id: str) -> None:
    local_path, gcs_uri = make_music(char_id, "idol")
    print(local_path, gcs_uri)


if __name__ == "__main__":
    main(sys.argv[1])
