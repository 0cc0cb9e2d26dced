"""Makes a dance, and a remix of it with two variants."""

import sys

from pipeline_db import upsert_asset
from rendering import render


def main(char_id: str) -> None:
    dance = render(f"dances/dance_{char_id}_01.mp4", f"{char_id} dances")
    remix = render(f"remixes/{char_id}_idol/REMIX_idol.mp4", f"{char_id} dances again")
    upsert_asset(char_id, {"title": "primary", "dance_video": dance, "deliverable": remix})
    for look in ("neon", "rain"):
        video = render(f"remixes/{char_id}_idol/variants/{look}.mp4", f"{char_id} in {look}")
        upsert_asset(char_id, {"title": look, "dance_video": video})


if __name__ == "__main__":
    main(sys.argv[1])
