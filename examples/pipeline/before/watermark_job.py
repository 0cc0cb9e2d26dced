"""Puts the studio's mark on a remix, and makes its icon."""

import sys

from rendering import render


def watermark(char_id: str, style: str) -> str:
    return render(f"remixes/{char_id}_{style}/result/{style}_watermarked.mp4", f"{char_id}, {style}, marked")


def icon(char_id: str, style: str) -> str:
    return render(f"remixes/{char_id}_{style}/result/icon_{style}.png", f"{char_id}, {style}, small")


def main(char_id: str) -> None:
    watermark(char_id, "idol")
    icon(char_id, "idol")


if __name__ == "__main__":
    main(sys.argv[1])
