"""Generated acceptability judgements: is this a sentence of English?

In the manner of minimal-pair suites (BLiMP: Warstadt et al., 2020, TACL 8): for each phenomenon a template draws an
acceptable sentence and an unacceptable one that differs as little as possible. Templates and lexicon are our own.

Every template is symmetric: whatever word form makes one sentence unacceptable makes another one acceptable, equally
often, and the two members of a pair have the same number of words. So neither single words nor length tell the label;
a model must relate words to each other. Within each phenomenon difficulty is graded: from function words side by side
("that they was") to lexical words across a distractor ("the boxes near the lamp is").
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from seedgrid.training.text.data.examples import Examples

MAXIMUM_TRAIN_SIZE = 40_000
"""Well within what every template can give, so that drawing without repetition stays quick."""
MAXIMUM_VALIDATION_SIZE = 10_000

Pair = tuple[str, str]
"""An acceptable sentence and its unacceptable partner. Either one determines the other."""
Template = Callable[[np.random.Generator], Pair]
T = TypeVar("T")


# ---------------------------------------------------------------------------------------------------------- lexicon
# What agrees in number is a pair (singular, plural), indexed by a number: 0 or 1.
# All common nouns begin with a consonant, so that the article "a" is always right.


class Verb(NamedTuple):
    base: str
    third_person: str
    past: str
    participle: str
    gerund: str

    @property
    def present(self) -> tuple[str, str]:
        """(singular, plural)."""
        return self.third_person, self.base


def _words(table: str) -> tuple[str, ...]:
    return tuple(table.split())


def _nouns(table: str) -> tuple[tuple[str, str], ...]:
    """Nouns from "box/boxes chair ...": a plural in -s need not be written."""
    entries = (entry.partition("/") for entry in table.split())
    return tuple((singular, plural or singular + "s") for singular, _, plural in entries)


def _verbs(table: str) -> tuple[Verb, ...]:
    """Verbs from "admire take/takes/took/taken/taking ...": the forms of a regular verb need not be written."""
    return tuple(Verb(*entry.split("/")) if "/" in entry else _regular(entry) for entry in table.split())


def _regular(base: str) -> Verb:
    stem = base.removesuffix("e")
    return Verb(base, base + "s", stem + "ed", stem + "ed", stem + "ing")


PEOPLE = _nouns(
    "teacher student doctor nurse lawyer farmer driver singer writer painter guest visitor customer tourist dancer "
    "pilot soldier manager scientist banker baker child/children friend cousin guide judge clerk player professor "
    "passenger plumber journalist librarian gardener sailor detective"
)
MEN = _nouns("man/men boy father brother son grandfather king prince husband gentleman/gentlemen")
WOMEN = _nouns("woman/women girl mother sister daughter grandmother queen princess/princesses wife/wives lady/ladies")
MALE_NAMES = _words(
    "Tom John Peter David Paul Robert James Henry George Frank Oliver Simon Martin Daniel Victor Steven"
)
FEMALE_NAMES = _words("Anna Mary Emma Laura Julia Sarah Alice Helen Susan Lucy Nora Clara Diana Karen Linda Rachel")
NAMES = (*MALE_NAMES, *FEMALE_NAMES)
THINGS = _nouns(
    "box/boxes chair lamp bottle basket blanket clock radio suitcase bag camera guitar mirror bucket ladder toy vase "
    "statue phone laptop printer knife/knives cup plate pillow tent kite drum hammer helmet jacket shirt doll flag "
    "candle violin trumpet telescope map table carpet bicycle tray jar kettle book magazine poster letter backpack"
)
PLACES = _nouns(
    "house school shop station church/churches bridge hotel museum library/libraries garage barn bakery/bakeries "
    "factory/factories hospital tower castle cinema restaurant bank market park garden"
)
PREPOSITIONS = ("near", "behind", "beside", "next to", "in front of")

# Neither kind of verb can do without its object, or take one, in any sense that a reader would think of.
TRANSITIVE = _verbs(
    "repair damage destroy admire describe remove replace inspect obtain mention select purchase acquire ruin protect "
    "discover take/takes/took/taken/taking fix/fixes/fixed/fixed/fixing carry/carries/carried/carried/carrying "
    "grab/grabs/grabbed/grabbed/grabbing touch/touches/touched/touched/touching"
)
INTRANSITIVE = _verbs(
    "laugh smile sneeze cough faint complain hesitate yawn arrive shiver apologize snore giggle wink limp tremble "
    "stumble sleep/sleeps/slept/slept/sleeping fall/falls/fell/fallen/falling kneel/kneels/knelt/knelt/kneeling "
    "vanish/vanishes/vanished/vanished/vanishing"
)
# Each verb is replaced by one verb of the other kind only, so that a sentence has one partner.
OTHER_KIND = dict(zip(TRANSITIVE + INTRANSITIVE, INTRANSITIVE + TRANSITIVE, strict=True))
TO_BE = Verb("be", "is", "was", "been", "being")
ENCOUNTERS = _verbs("help visit follow avoid praise thank invite ignore blame")  # between people, at some time
ATTITUDES = _verbs("like admire trust respect love fear know/knows/knew/known/knowing")
TOWARDS_PEOPLE = (*ENCOUNTERS, *ATTITUDES)
QUALITIES = ("old", "new", "cheap", "heavy", "dirty", "clean", "small", "large", "strange", "beautiful")
COLOURS = ("red", "blue", "green", "black", "white", "yellow", "brown", "grey")
MOODS = ("tall", "happy", "tired", "busy", "famous", "polite", "nervous", "clever", "lonely", "hungry", "rich", "sad")
# Nothing that could be an object ("described last night") or make a phrasal verb ("took on Friday", "grabbed at noon").
TIMES = ("recently", "an hour ago", "two days ago", "a week ago", "a month ago", "a year ago")
OCCASIONS = (
    "during lunch",
    "during the concert",
    "during the trip",
    "before dinner",
    "before dawn",
    "before the meeting",
)
ADVERBS = ("also", "always", "certainly", "secretly", "finally", "now")

EXPERIENCES = (
    *("been to Rome", "seen the sea", "told a lie", "won a prize", "missed a train", "written a poem"),
    *("ridden a horse", "climbed a mountain", "lived abroad", "driven a truck"),
)
REFLEXIVE_EVENTS = (
    *(("punished", "for the mistake"), ("introduced", "to the guests"), ("described", "in the letter")),
    *(("defended", "in court"), ("prepared", "for the exam"), ("talked about", "for hours"), ("hurt", "last week")),
    *(("looked at", "in the mirror"), ("criticized", "in public"), ("warmed", "by the fire")),
)
KNEW = ("knew", "remembered", "forgot", "noticed", "understood", "revealed")
NEWS = ("rumor", "news", "claim", "story", "report", "fact")
EFFECTS_OF_NEWS = ("surprise", "shock", "worry", "annoy", "upset", "please", "scare", "delight")

# Singular and plural; two of three show the number.
DETERMINERS = (("the", "the"), ("this", "these"), ("every", "all"))
BE, WAS, HAVE, DO, SEEM = ("is", "are"), ("was", "were"), ("has", "have"), ("does", "do"), ("seems", "seem")


# --------------------------------------------------------------------------------------------------- parts of speech


def _one(rng: np.random.Generator, options: Sequence[T]) -> T:
    return options[rng.integers(len(options))]


def _two(rng: np.random.Generator, options: Sequence[T]) -> tuple[T, T]:
    """Two different ones."""
    first, step = rng.integers(len(options)), rng.integers(1, len(options))
    return options[first], options[(first + step) % len(options)]


def _number(rng: np.random.Generator) -> int:
    return int(rng.integers(2))


def _two_subjects(rng: np.random.Generator) -> tuple[str, str]:
    """Two different people in the singular, each a name or "the" and a noun."""
    names, nouns = _two(rng, NAMES), _two(rng, PEOPLE)
    return tuple(_one(rng, (name, f"the {noun[0]}")) for name, noun in zip(names, nouns, strict=True))


def _personal_pronoun(rng: np.random.Generator, number: int) -> str:
    return _one(rng, (("he", "she"), ("they", "we"))[number])


def _predicate_of_people(rng: np.random.Generator) -> tuple[str, str]:
    """(singular, plural) of a predicate in a tense that shows number."""
    verb, mood = _one(rng, INTRANSITIVE), _one(rng, MOODS)
    singular, plural, rest = _one(
        rng,
        (
            (*BE, mood),
            (*WAS, mood),
            (*SEEM, mood),
            (*HAVE, verb.participle),
            (*BE, verb.gerund),
            (*verb.present, "every day"),
        ),
    )
    return f"{singular} {rest}", f"{plural} {rest}"


# Kinds of gendered noun phrases, which decide the pronoun: 0 male, 1 female, 2 plural.
PLURAL = 2
PRONOUNS = ("he", "she", "they")
REFLEXIVES = ("himself", "herself", "themselves")


def _gendered(rng: np.random.Generator, kind: int, index: int) -> str:
    man, woman = MEN[index], WOMEN[index]
    return (man[0], woman[0], _one(rng, (man, woman))[1])[kind]


def _wrong_kind(head: int, distractor: int) -> int:
    """The kind of the distractor, or where that is right, the next one: every kind is wrong as often as it is right."""
    return distractor if distractor != head else (head + 1) % 3


class Auxiliary(NamedTuple):
    forms: tuple[str, str]
    """(singular, plural)."""
    takes: str
    """The form of the verb after it, a field of `Verb`."""


PERFECT, PROGRESSIVE = Auxiliary(HAVE, "participle"), Auxiliary(BE, "gerund")
MODALS = tuple(Auxiliary((modal, modal), "base") for modal in ("will", "can", "should", "must"))


# ------------------------------------------------------------------------------------------------------- phenomena


def agreement(rng: np.random.Generator) -> Pair:
    """Anna knew that they were / *was sad. Why do / *does they sleep? All boxes near the lamp are / *is heavy."""
    number, distractor = _number(rng), _number(rng)
    frame = _one(rng, ("embedded clause", "question", "prepositional phrase", "relative clause"))
    if frame == "question":
        verb = _one(rng, INTRANSITIVE)
        auxiliary, rest = _one(rng, ((DO, verb.base), (HAVE, verb.participle), (BE, verb.gerund), (WAS, verb.gerund)))
        question = f"{_one(rng, ('', 'why '))}{{}} {_personal_pronoun(rng, number)} {rest}"
        frame = f"{question} {_one(rng, PREPOSITIONS)} the {_one(rng, PLACES)[distractor]}?"
        return frame.format(auxiliary[number]), frame.format(auxiliary[1 - number])
    predicate = _predicate_of_people(rng)
    determiner = _one(rng, DETERMINERS)[number]
    if frame == "embedded clause":
        subject = f"{_two_subjects(rng)[0]} {_one(rng, KNEW)} that {_personal_pronoun(rng, number)}"
    elif frame == "prepositional phrase":
        head, other = _two(rng, THINGS)
        forms, quality = _one(rng, (BE, WAS, SEEM)), _one(rng, QUALITIES)
        predicate = f"{forms[0]} {quality}", f"{forms[1]} {quality}"
        subject = f"{determiner} {head[number]} {_one(rng, PREPOSITIONS)} the {other[distractor]}"
    else:
        head, other = _two(rng, PEOPLE)
        verb = _one(rng, TOWARDS_PEOPLE)
        other = f"{_one(rng, DETERMINERS)[distractor]} {other[distractor]}"
        clause = _one(rng, (f"{verb.past} {other}", f"{other} {verb.present[distractor]}"))
        subject = f"{determiner} {head[number]} that {clause}"
    return f"{subject} {predicate[number]}.", f"{subject} {predicate[1 - number]}."


def determiner_noun(rng: np.random.Generator) -> Pair:
    """Anna took those / *that old red chairs. This old red one / *ones fell to the floor."""
    number = _number(rng)
    determiner = _one(rng, (("this", "these"), ("that", "those")))
    if rng.integers(2):
        noun = _one(rng, THINGS)
        adjectives = _one(rng, ("", f"{_one(rng, QUALITIES)} ", f"{_one(rng, QUALITIES)} {_one(rng, COLOURS)} "))
    else:
        noun = ("one", "ones")
        adjectives = _one(rng, (f"{_one(rng, COLOURS)} ", f"{_one(rng, QUALITIES)} {_one(rng, COLOURS)} "))
    right = f"{determiner[number]} {adjectives}{noun[number]}"
    if rng.integers(2):
        wrong = f"{determiner[number]} {adjectives}{noun[1 - number]}"
        owner, place = (_one(rng, nouns)[_number(rng)] for nouns in (PEOPLE, PLACES))
        rest = _one(
            rng,
            (
                f"fell to the floor {_one(rng, TIMES)}",
                f"disappeared {_one(rng, PREPOSITIONS)} the {place}",
                f"belonged to the {owner}",
                f"surprised the {owner} {_one(rng, TIMES)}",
            ),
        )
        return f"{right} {rest}.", f"{wrong} {rest}."
    wrong = f"{determiner[1 - number]} {adjectives}{noun[number]}"
    subject, _ = _two_subjects(rng)
    start = f"{subject} {_one(rng, TRANSITIVE).past}"
    rest = _one(rng, ("", f" {_one(rng, PREPOSITIONS)} the {_one(rng, PLACES)[_number(rng)]}", f" {_one(rng, TIMES)}"))
    return f"{start} {right}{rest}.", f"{start} {wrong}{rest}."


def reflexive(rng: np.random.Generator) -> Pair:
    """She herself / *himself liked Tom. The sister that the king knew / Tom knew that she hurt herself / *himself."""
    head, distractor = rng.integers(3, size=2)
    index, other_index = _two(rng, range(len(MEN)))
    subject, other = f"the {_gendered(rng, head, index)}", f"the {_gendered(rng, distractor, other_index)}"
    if distractor != PLURAL:
        other = _one(rng, (other, _one(rng, (MALE_NAMES, FEMALE_NAMES)[distractor])))
    wrong = _wrong_kind(head, distractor)
    if rng.integers(2):
        rest = f"{_one(rng, ENCOUNTERS).past} {other} {_one(rng, TIMES)}."
        return tuple(f"{PRONOUNS[head]} {REFLEXIVES[kind]} {rest}" for kind in (head, wrong))
    subject = _one(
        rng,
        (
            f"{other} {_one(rng, KNEW)} that {PRONOUNS[head]}",
            f"{subject} {_one(rng, PREPOSITIONS)} {other}",
            f"{subject} that {other} {_one(rng, TOWARDS_PEOPLE).past}",
        ),
    )
    before, after = _one(rng, REFLEXIVE_EVENTS)
    start = f"{subject} {before}"
    return f"{start} {REFLEXIVES[head]} {after}.", f"{start} {REFLEXIVES[wrong]} {after}."


def pronoun_case(rng: np.random.Generator) -> Pair:
    """Anna admired her / *she. The lamp that she / *her took was old."""
    subject, _ = _two_subjects(rng)
    nominative, accusative = _one(rng, (("he", "him"), ("she", "her"), ("they", "them"), ("we", "us"), ("I", "me")))
    verb, thing, time = _one(rng, TRANSITIVE), _one(rng, THINGS)[_number(rng)], _one(rng, TIMES)
    frame, right, wrong = _one(
        rng,
        (
            (f"{subject} {_one(rng, ENCOUNTERS).past} {{}} {time}.", accusative, nominative),
            (f"the {thing} near {{}} belonged to {subject}.", accusative, nominative),
            (f"{subject} knew that {{}} {verb.past} the {thing} {time}.", nominative, accusative),
            (f"the {thing} that {{}} {verb.past} belonged to {subject}.", nominative, accusative),
        ),
    )
    return frame.format(right), frame.format(wrong)


def verb_form(rng: np.random.Generator) -> Pair:
    """The lamp will now be / *been repaired. Has the boy that will sleep taken / *taking the lamp?"""
    number = _number(rng)
    thing = _one(rng, THINGS)[number]
    verb, auxiliaries = _one(rng, TRANSITIVE), (PERFECT, _one(rng, MODALS), PROGRESSIVE)
    used, distracting = _two(rng, range(3))
    # Each form is wrong after one of the other auxiliaries; never the participle after "be", which can be a passive.
    fields = [auxiliaries[kind].takes for kind in (used, used - 1)]
    if rng.integers(2):
        adverb = _one(rng, ("", *(f" {adverb}" for adverb in ADVERBS)))
        start = f"the {thing} {auxiliaries[used].forms[number]}{adverb}"
        rest = f"{verb.participle} by {_two_subjects(rng)[0]}"
        return tuple(f"{start} {getattr(TO_BE, field)} {rest}." for field in fields)
    distractor = auxiliaries[distracting]
    clause = f"{distractor.forms[0]} {getattr(_one(rng, INTRANSITIVE), distractor.takes)}"
    # In the singular: "have the boys taking ..." could be a causative.
    start = f"{auxiliaries[used].forms[0]} the {_one(rng, PEOPLE)[0]} that {clause}"
    return tuple(f"{start} {getattr(verb, field)} the {thing}?" for field in fields)


def argument_structure(rng: np.random.Generator) -> Pair:
    """Anna repaired / *laughed the lamp during lunch. Anna laughed / *repaired during lunch."""
    subject, _ = _two_subjects(rng)
    thing, occasion = _one(rng, THINGS)[_number(rng)], _one(rng, OCCASIONS)
    frame, form, verbs = _one(
        rng,
        (
            (f"{subject} {{}} the {thing} {occasion}.", "past", TRANSITIVE),
            (f"{subject} {{}} {occasion}.", "past", INTRANSITIVE),
            (f"the {thing} had been {{}} by {subject}.", "participle", TRANSITIVE),
            (f"{subject} had {{}} {occasion}.", "participle", INTRANSITIVE),
        ),
    )
    verb = _one(rng, verbs)
    return frame.format(getattr(verb, form)), frame.format(getattr(OTHER_KIND[verb], form))


def quantifier(rng: np.random.Generator) -> Pair:
    """There was a nurse near every barn. *There was every nurse near a barn. Almost every / *a nurse slept."""
    number = _number(rng)
    weak = ("a", _one(rng, ("several", "many", "some")))[number]
    person, other = (noun[number] for noun in _two(rng, PEOPLE))
    preposition, place = _one(rng, PREPOSITIONS), _one(rng, PLACES)[number]
    was = WAS[number]
    if rng.integers(2):
        strong = ("every", "all")[number]
        frame = f"{_one(rng, ('almost', 'nearly'))} {{}} {person} {was} {preposition} {{}} {place}."
        return frame.format(strong, weak), frame.format(weak, strong)
    strong = ("every", _one(rng, ("most", "both")))[number]
    frames = [
        f"there {was} {{0}} {person} {preposition} {{1}} {place}.",
        f"{preposition} {{1}} {place} there {was} {{0}} {person}.",
    ]
    if number:  # not in the singular: a relative clause can redeem "there was every ..."
        verb = _one(rng, TOWARDS_PEOPLE).past
        frames.append(f"there {was} {{0}} {person} that {{1}} {other} {verb} {preposition} the {place}.")
    frame = _one(rng, frames)
    return frame.format(weak, strong), frame.format(strong, weak)


def negative_polarity(rng: np.random.Generator) -> Pair:
    """A word that only negation allows, with the negation where it does and where it does not."""
    return _one(rng, (ever_after_no, any_after_never))(rng)


def ever_after_no(rng: np.random.Generator) -> Pair:
    """No boy that the nurse knew has ever seen the sea. *The boy that no nurse knew has ever seen the sea."""
    number = _number(rng)
    head, other = _two(rng, PEOPLE)
    negated, distractor = head[number], other[_number(rng)]
    ever = f"{HAVE[number]} ever {_one(rng, EXPERIENCES)}"
    clause = f"{distractor} {_one(rng, INTRANSITIVE).past} {_one(rng, TIMES)}"
    conjunction = _one(rng, ("and", "but"))
    frame = _one(
        rng,
        (
            f"{{0}} {negated} that {{1}} {distractor} {_one(rng, TOWARDS_PEOPLE).past} {ever}.",
            f"{{0}} {negated} {ever}, {conjunction} {{1}} {clause}.",
            f"{{1}} {clause}, {conjunction} {{0}} {negated} {ever}.",
        ),
    )
    return frame.format("no", "the"), frame.format("the", "no")


def any_after_never(rng: np.random.Generator) -> Pair:
    """Anna never took any maps, but Tom knew the boy. *Anna took any maps, but Tom never knew the boy."""
    subject, other = _two_subjects(rng)
    person, patient = _one(rng, PEOPLE)[_number(rng)], _one(rng, (*MEN, *WOMEN))[_number(rng)]
    clause = f"{_one(rng, TOWARDS_PEOPLE).past} the {patient}"
    any_things = f"{_one(rng, TRANSITIVE).past} any {_one(rng, THINGS)[1]}"
    conjunction = _one(rng, ("and", "but"))
    frame = _one(
        rng,
        (
            f"the {person} that {{1}}{clause} {{0}}{any_things}.",
            f"{subject} {{0}}{any_things}, {conjunction} {other} {{1}}{clause}.",
            f"{other} {{1}}{clause}, {conjunction} {subject} {{0}}{any_things}.",
        ),
    )
    return frame.format("never ", ""), frame.format("", "never ")


def inversion(rng: np.random.Generator) -> Pair:
    """Why was / *Anna Anna / was laughing? Tom knew why Anna was / *was Anna laughing."""
    subject, other = _two_subjects(rng)
    main, distracting = _two(rng, (PERFECT, PROGRESSIVE, *MODALS))
    verb, clause_verb = _two(rng, INTRANSITIVE)
    auxiliary, form = main.forms[0], getattr(verb, main.takes)
    kind = _one(rng, ("question", "embedded question", "relative clause"))
    if kind == "relative clause":
        person, clause_auxiliary = _one(rng, PEOPLE)[0], distracting.forms[0]
        clause_form = getattr(clause_verb, distracting.takes)
        return (
            f"{auxiliary} the {person} that {clause_auxiliary} {clause_form} {form}?",
            f"{clause_auxiliary} the {person} that {clause_form} {auxiliary} {form}?",
        )
    inverted, straight = f"{auxiliary} {subject} {form}", f"{subject} {auxiliary} {form}"
    word, place = _one(rng, ("why", "how often")), f"{_one(rng, PREPOSITIONS)} the {_one(rng, PLACES)[_number(rng)]}"
    if kind == "question":
        return f"{word} {inverted} {place}?", f"{word} {straight} {place}?"
    start = f"{other} {_one(rng, KNEW)} {word}"
    return f"{start} {straight} {place}.", f"{start} {inverted} {place}."


def extraction(rng: np.random.Generator) -> Pair:
    """A gap without a filler, a filler without a gap, and gaps in three kinds of islands."""
    return _one(rng, (filler_gap, adjunct_island, complex_noun_phrase_island, coordinate_structure_island))(rng)


def filler_gap(rng: np.random.Generator) -> Pair:
    """What / *why did Tom take a week ago? Anna knew that / *what Tom took the lamp recently."""
    subject, other = _two_subjects(rng)
    verb, time = _one(rng, TRANSITIVE), _one(rng, TIMES)
    bridge = _one(rng, ("", f"the {_one(rng, (*MEN, *WOMEN))[1]} {_one(rng, ('said', 'thought', 'claimed'))} "))
    gapless, frame = _one(
        rng,
        (
            ("why", f"{{0}} did {other} {verb.base}{{1}} {time}?"),
            ("that", f"{subject} {_one(rng, KNEW)} {{0}} {bridge}{other} {verb.past}{{1}} {time}."),
        ),
    )
    if rng.integers(2):
        return frame.format("what", ""), frame.format(gapless, "")
    thing = _one(rng, (" it", f" the {_one(rng, THINGS)[_number(rng)]}"))
    return frame.format(gapless, thing), frame.format("what", thing)


def adjunct_island(rng: np.random.Generator) -> Pair:
    """Which lamp must Anna fix so that Tom can sleep? *Which lamp must Anna sleep so that Tom can fix?"""
    subject, other = _two_subjects(rng)
    connective = _one(rng, ("because", "although", "if", "so that", "even though", "now that"))
    filler, thing = (noun[0] for noun in _two(rng, THINGS))
    start = f"which {filler} {_one(rng, ('will', 'must', 'should', 'can'))} {subject}"
    adjunct = f"{connective} {other} {_one(rng, ('can', 'cannot'))}"
    if rng.integers(2):
        extracted, verb = _one(rng, TRANSITIVE).base, _one(rng, INTRANSITIVE).base
        return f"{start} {extracted} {adjunct} {verb}?", f"{start} {verb} {adjunct} {extracted}?"
    first, second = (verb.base for verb in _two(rng, TRANSITIVE))
    return f"{start} {first} {adjunct} {second} the {thing}?", f"{start} {first} the {thing} {adjunct} {second}?"


def complex_noun_phrase_island(rng: np.random.Generator) -> Pair:
    """Which lamp will the boy that can fix the radio take? *Which lamp will the boy that can fix take the radio?"""
    person, other = (noun[0] for noun in _two(rng, PEOPLE))
    filler, thing = (noun[0] for noun in _two(rng, THINGS))
    first, second = _two(rng, TRANSITIVE)
    modal, embedded = _one(rng, ("will", "must", "should", "can")), _one(rng, ("can", "will", "must"))
    frame = _one(rng, ("subject relative", "object relative", "noun complement"))
    if frame == "subject relative":
        start = f"which {filler} {modal} the {person} that {embedded} {first.base}"
        return f"{start} the {thing} {second.base}?", f"{start} {second.base} the {thing}?"
    if frame == "object relative":
        verb = _one(rng, ENCOUNTERS).base
        rest = f"{verb} the {other} that {embedded} {first.base}"
        return f"which {person} {modal} {rest} the {thing}?", f"which {thing} {modal} the {person} {rest}?"
    verb = _one(rng, EFFECTS_OF_NEWS)
    clause = f"did the {_one(rng, NEWS)} that {_one(rng, NAMES)} {first.past}"
    return f"which {person} {clause} the {thing} {verb}?", f"which {thing} {clause} {verb} the {person}?"


def coordinate_structure_island(rng: np.random.Generator) -> Pair:
    """What did Anna take and Tom repair / *laugh? Why did Anna shiver / *repair and Tom laugh?"""
    subject, other = _two_subjects(rng)
    question, extracts, violated = _one(
        rng, ((f"which {_one(rng, THINGS)[0]}", True, 0), ("what", True, 1), ("when", False, 0), ("why", False, 1))
    )
    right = _two(rng, TRANSITIVE if extracts else INTRANSITIVE)
    wrong = [OTHER_KIND[verb] if i == violated else verb for i, verb in enumerate(right)]
    return tuple(
        f"{question} did {subject} {first.base} and {other} {second.base}?" for first, second in (right, wrong)
    )


# ------------------------------------------------------------------------------------------------------------- sets

# Not more of them: a thousand sentences must show each often enough for a small encoder to learn something of it.
TEMPLATES: tuple[Template, ...] = (
    agreement,
    determiner_noun,
    reflexive,
    pronoun_case,
    verb_form,
    argument_structure,
    quantifier,
    negative_polarity,
    inversion,
    extraction,
)
PHENOMENA: tuple[str, ...] = tuple(template.__name__ for template in TEMPLATES)


def generate(
    train_size: int, validation_size: int, seed: int = 0, phenomena: Sequence[str] = PHENOMENA
) -> tuple[Examples, Examples]:
    """Draw a training and a validation set of acceptability judgements, without ``text_pair``.

    Labels are 1 (acceptable) and 0 (unacceptable), equally many of each; where a size is odd, the numbers differ by
    one. Numbers of sentences of any two phenomena differ by at most two. No sentence occurs twice.

    Both members of a minimal pair are in the same set. Were they split, a model that has learnt one of them by heart
    would be led to the wrong label for the other, and validation would score memory, below chance. Kept together in
    training they show that the words they share do not matter; in validation they let one count pairs as BLiMP does.
    Where a size is odd, one pair gives only one of its members.

    Whether a pair is for training or for validation is a fixed property of the pair (a hash of its text), the same
    for every seed and size. Thus neither set depends on the other's size, and no pair of any training set is in any
    validation set. A smaller set is not a part of a larger one.

    Args:
        train_size: sentences in the training set, 1 to `MAXIMUM_TRAIN_SIZE`.
        validation_size: sentences in the validation set, 1 to `MAXIMUM_VALIDATION_SIZE`.
        seed: not negative; together with the sizes it determines the sentences and their order.
        phenomena: which of `PHENOMENA` to draw from; the maxima shrink with their number.

    Raises:
        ValueError: a size is out of its range, the seed is negative, or a phenomenon is unknown or named twice.
    """
    unknown = [name for name in phenomena if name not in PHENOMENA]
    if unknown or not phenomena or len(set(phenomena)) < len(phenomena):
        raise ValueError(f"phenomena={list(phenomena)}: name each of some of these once: {', '.join(PHENOMENA)}")
    share = len(phenomena) / len(PHENOMENA)
    for name, size, maximum in (
        ("train_size", train_size, int(share * MAXIMUM_TRAIN_SIZE)),
        ("validation_size", validation_size, int(share * MAXIMUM_VALIDATION_SIZE)),
    ):
        if not 1 <= size <= maximum:
            raise ValueError(f"{name}={size}: 1 to {maximum} sentences can be generated; give a size in this range")
    if seed < 0:
        raise ValueError(f"seed={seed} is negative; give 0 or a positive integer to generate sentences from")
    templates = tuple(TEMPLATES[PHENOMENA.index(name)] for name in phenomena)
    train, _ = _draw_examples("train", train_size, seed, templates)
    validation, _ = _draw_examples("validation", validation_size, seed, templates)
    return train, validation


def _draw_examples(
    split: str, size: int, seed: int, templates: Sequence[Template] = TEMPLATES
) -> tuple[Examples, np.ndarray]:
    """The examples of a split, and the phenomenon of each as an index into ``templates`` (int64 array of ``size``)."""
    rng = np.random.default_rng((seed, ("train", "validation").index(split)))
    pairs, phenomena = _draw_pairs(rng, split, (size + 1) // 2, templates)
    text = tuple(sentence for pair in pairs for sentence in pair)
    examples = Examples(text, None, np.tile(np.array([1, 0]), len(pairs)))
    kept = np.arange(len(text))
    if size % 2:
        kept = np.delete(kept, rng.integers(1, 3) * -1)
    order = rng.permutation(kept)
    return examples.take(order), np.repeat(phenomena, 2)[order]


def _draw_pairs(
    rng: np.random.Generator, split: str, count: int, templates: Sequence[Template] = TEMPLATES
) -> tuple[list[Pair], np.ndarray]:
    """``count`` different minimal pairs and the phenomenon of each, phenomena in turn."""
    phenomena = np.resize(rng.permutation(len(templates)), count)
    pairs, drawn = [], set()
    for phenomenon in phenomena:
        while True:  # ends: every template has far more pairs than the largest sets need
            acceptable, unacceptable = (_sentence(words) for words in templates[phenomenon](rng))
            if acceptable not in drawn and _split_of(acceptable) == split:
                break
        drawn.add(acceptable)
        pairs.append((acceptable, unacceptable))
    return pairs, phenomena


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]


def _split_of(acceptable: str) -> str:
    """A fifth of all pairs is for validation."""
    return "validation" if hashlib.sha256(acceptable.encode()).digest()[0] % 5 == 0 else "train"
