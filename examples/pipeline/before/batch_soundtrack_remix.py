"""Sets each remix to two soundtracks."""

import sys

from rendering import render


def set_to_music(char_id: str, style: str) -> list[str]:
    folder = f"remixes/{char_id}_{style}/result"
    return [render(f"{folder}/[{track}]_{style}.mp4", f"{char_id}, {style}, {track}") for track in ("kpop", "orig")]


def main(*char_ids: str) -> None:
    for char_id in char_ids:
        set_to_music(char_id, "idol")


if __name__ == "__main__":
    main(*sys.argv[1:])
