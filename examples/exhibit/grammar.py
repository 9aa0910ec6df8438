"""The text the exhibit learns: museum labels for things that never were.

Every document is put together here from `catalogue.txt`, which says what may be
told of each thing, and `phrases.py`, which has the sentences common to them
all.  The text is ours from the first word to the last, and one seed gives the
same corpus everywhere.

A museum in which every sentence were equally likely would teach a small model
to shrug: greedy decoding would give each object the same label.  So choices
have a *taste*.  For an object of a given material, the options of each slot
stand in an order of their own and the earlier ones are likelier.  The model
has something to remember about each thing, and greedy labels differ.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

import phrases as say

T = TypeVar("T")

CATALOGUE = Path(__file__).with_name("catalogue.txt")


@dataclass(frozen=True)
class Thing:
    """One block of the catalogue."""

    noun: str
    plural: bool
    materials: tuple[str, ...]
    years: tuple[int, int]
    trades: tuple[str, ...]
    users: tuple[str, ...]
    uses: tuple[str, ...]
    parts: tuple[str, ...]
    tales: tuple[str, ...]


def read_catalogue(path: Path = CATALOGUE) -> tuple[Thing, ...]:
    """Read the objects of the museum, in the order of the file."""
    things = []
    text = "\n".join(line for line in path.read_text("utf-8").splitlines() if not line.startswith("#"))
    for block in text.split("[")[1:]:
        title, _, body = block.partition("]")
        field = dict(line.split(": ", 1) for line in body.strip().splitlines())
        first, last = (int(year) for year in field["years"].split("-"))
        lists = {key: tuple(field[key].split(", ")) for key in ("of", "by", "for", "with")}
        uses, tales = (tuple(field[key].split(" / ")) for key in ("to", "tale"))
        things.append(
            Thing(title.rstrip("*"), title.endswith("*"), lists["of"], (first, last), lists["by"], lists["for"], uses,
                  lists["with"], tales)
        )  # fmt: skip
    return tuple(things)


def with_article(phrase: str) -> str:
    """Put "a" or "an" before a phrase, by its sound: an hourglass, a union."""
    silent_h, you = phrase.startswith(("hour", "honest")), phrase.startswith(("uni", "use", "one"))
    return ("an " if (phrase[0] in "aeiou" and not you) or silent_h else "a ") + phrase


def capital(phrase: str) -> str:
    """Raise the first letter and leave the rest alone."""
    return phrase[:1].upper() + phrase[1:]


@cache
def _preference(key: str, count: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """An order of `count` options, always the same for one key, and how likely each place in it is."""
    order = list(range(count))
    random.Random(f"taste of {key}").shuffle(order)
    return tuple(order), tuple(1.0 / (1 + rank) ** 1.6 for rank in range(count))


class Writer:
    """Writes documents, one after another, from one stream of chance."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(f"exhibit {seed}")
        self.things = read_catalogue()

    def _pick(self, key: str, options: Sequence[T]) -> T:
        """Choose by taste: `key` fixes which options are the likely ones."""
        order, weights = _preference(key, len(options))
        return options[self.rng.choices(order, weights)[0]]

    def documents(self) -> Iterator[str]:
        """Labels with a visitor's request before them, labels alone, and the odd misunderstanding."""
        while True:
            chance = self.rng.random()
            thing = self.rng.choice(self.things)
            if chance < 0.07:
                yield self.misunderstanding()
            elif chance < 0.35:
                material = self._pick(f"{thing.noun}/of", thing.materials)
                yield self.label(thing, material, self._origin(thing, material))
            else:
                yield self.exchange(thing)

    def exchange(self, thing: Thing) -> str:
        """A request and its label; what the visitor names, the label keeps to."""
        name, material = thing.noun, self._pick(f"{thing.noun}/of", thing.materials)
        if self.rng.random() < 0.55:
            material = self.rng.choice(thing.materials)
            name = f"{material} {name}"
        place = self._origin(thing, material)
        if self.rng.random() < 0.12:
            place = self.rng.choice(say.PLACES)
            name = f"{name} from {place}"
        request = self._request(name, f"some {name}" if thing.plural else with_article(name), thing.plural)
        return f"Visitor: {request}\nLabel: {self.label(thing, material, place)}"

    def misunderstanding(self) -> str:
        """A greeting, a thing the museum has not got, or noise; the answer offers what there is."""
        kind = self.rng.random()
        offer = "Ask for the {}, the {} or the {}.".format(*(thing.noun for thing in self.rng.sample(self.things, 3)))
        if kind < 0.15:
            return f"Visitor: {self.rng.choice(say.GREETINGS)}\nLabel: Welcome to the museum. {offer}"
        if kind < 0.6:
            name = self.rng.choice(say.STRANGERS)
        elif kind < 0.9:
            name = "".join(self.rng.choices(say.SYLLABLES, k=self.rng.randint(1, 4)))
        else:
            name = "".join(self.rng.choices(say.FOREIGN, k=self.rng.randint(1, 6)))
        request = self._request(name, with_article(name), plural=False)
        return f"Visitor: {request}\nLabel: There is no such thing in this museum. {offer}"

    def _request(self, name: str, a_name: str, plural: bool) -> str:
        verbs = {"is": "are", "was": "were"} if plural else {"is": "is", "was": "was"}
        names = {"thing": name, "Thing": capital(name), "a_thing": a_name, "A_thing": capital(a_name)}
        this = "these" if plural else "this"
        return self.rng.choice(say.REQUESTS).format(this=this, **names, **verbs)

    def _origin(self, thing: Thing, material: str) -> str:
        return self._pick(f"{thing.noun}/{material}/place", say.PLACES)

    def label(self, thing: Thing, material: str, place: str) -> str:
        """A whole label: what it is, what it was for, its story and condition, and how it came here."""
        taste = f"{thing.noun}/{material}"
        slots = self._slots(thing, material, place)
        frames = [self._pick(f"{taste}/opening", say.OPENINGS), self._pick(f"{taste}/use frame", say.USES)]
        middle = [self._pick(f"{taste}/tale", thing.tales), self._condition(thing, material)]
        if self._pick(f"{taste}/order", (False, True)):
            middle.reverse()
        frames += [*middle, self._pick(f"{taste}/closing", say.CLOSINGS)]
        return " ".join(frames).format(**slots)

    def _slots(self, thing: Thing, material: str, place: str) -> dict[str, str]:
        """Fill every slot once, in agreement with the number of the thing."""
        taste = f"{thing.noun}/{material}"
        first, last = thing.years
        year = self._pick(f"{taste}/year", [first + (last - first) * step // 8 // 5 * 5 for step in range(1, 8)])
        later = self._pick(f"{taste}/later", range(max(1903, year // 10 * 10 + 23), 2013, 12))
        trade = self._pick(f"{taste}/by", thing.trades)
        maker = self._pick(f"{taste}/maker", say.MAKERS).format(trade=trade)
        if maker.startswith("a "):
            maker = with_article(maker[2:])
        thing_name = f"{material} {thing.noun}"
        a_thing = f"a pair of {thing_name}" if thing.plural else with_article(thing_name)
        users, person = self._pick(f"{taste}/for", thing.users), self._pick(f"{taste}/person", say.PERSONS)
        donor = self._pick(f"{taste}/donor", say.PERSONS)
        agree = ("these", "them", "They", "were") if thing.plural else ("this", "it", "It", "was")
        this, it, they, was = agree
        return {
            "this": this, "This": capital(this), "it": it, "They": they, "was": was,
            "noun": thing.noun, "Noun": capital(thing.noun), "stuff": material, "A_thing": capital(a_thing),
            "place": place, "elsewhere": self._pick(f"{taste}/elsewhere", say.PLACES), "year": str(year),
            "later": str(later), "maker": maker, "Maker": capital(maker), "a_trade": with_article(trade),
            "aside": self._pick(f"{taste}/aside", say.ASIDES), "users": users, "Users": capital(users),
            "use": self._pick(f"{taste}/to", thing.uses), "person": person, "Person": capital(person),
            "donor": donor, "Donor": capital(donor),
        }  # fmt: skip

    def _condition(self, thing: Thing, material: str) -> str:
        """How the material and one part have fared, joined by "and" or "but" as the news deserves."""
        taste = f"{thing.noun}/{material}"
        family = next(news for names, news in say.STUFF_NEWS.items() if material in names.split())
        part = self._pick(f"{taste}/part", thing.parts)
        part_good, part_news = self._pick(f"{taste}/part news", say.PART_NEWS)
        stuff_good, stuff_news = self._pick(f"{taste}/stuff news", family)
        verbs = {"is": "are", "has": "have"} if part.endswith("*") else {"is": "is", "has": "has"}
        halves = [f"the {material} {stuff_news}", f"the {part.rstrip('*')} {part_news.format(**verbs)}"]
        if self._pick(f"{taste}/halves", (False, True)):
            halves.reverse()
        return f"{capital(halves[0])}, {'and' if part_good == stuff_good else 'but'} {halves[1]}."


if __name__ == "__main__":
    for _, document in zip(range(12), Writer(0).documents(), strict=False):
        print(document, end="\n\n")
