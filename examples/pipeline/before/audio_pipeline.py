"""Composes music for a remix."""

import sys

from rendering import render


def make_music(char_id: str, style: str) -> str:
    return render(f"remixes/{char_id}_{style}/result/generated_kpop_music.mp3", f"{char_id}, {style}")


def main(char_id: str) -> None:
    make_music(char_id, "idol")


if __name__ == "__main__":
    main(sys.argv[1])
