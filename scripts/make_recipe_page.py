"""Write the table of the named recipes into docs/recipes.md, between its two marks.

python -m scripts.make_recipe_page
"""

from pathlib import Path

from visiongraft.train.recipes import RECIPES, NamedRecipe

PAGE = Path("docs/recipes.md")
BEGIN, END = "<!-- recipes: written by scripts/make_recipe_page.py -->\n", "<!-- end of recipes -->\n"


def section(each: NamedRecipe) -> str:
    """Describe one recipe."""
    rows = {
        "command": f"`{each.command}`",
        "network": f"`{each.model}`" + (f" at {each.image} pixels" if each.image else ""),
        "source": each.source,
        "published": each.published,
        "measured here": each.measured,
    }
    lines = [f"### `{each.name}`", "", "| | |", "|---|---|", *(f"| {name} | {what} |" for name, what in rows.items())]
    return "\n".join([*lines, "", *(f"- {departure}" for departure in each.departures), ""]).rstrip() + "\n\n"


def main() -> None:
    """Write the page anew."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page = before + BEGIN + "\n" + "".join(map(section, RECIPES)) + END + after
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
