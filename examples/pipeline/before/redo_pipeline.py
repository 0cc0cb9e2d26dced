"""Makes the dance once more, when the first take was not good enough."""

import sys

from pipeline_db import upsert_asset
from rendering import render


def main(char_id: str) -> None:
    dance = render(f"dances/dance_{char_id}_02.mp4", f"{char_id} dances better")
    upsert_asset(char_id, {"title": "primary", "dance_video": dance})


if __name__ == "__main__":
    main(sys.argv[1])
