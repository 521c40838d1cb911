"""STOP, START and HELP in what people really write.

Carriers know single words only; the law knows "any reasonable means" (47 CFR 64.1200(a)(10)). So a few words around
it don't matter, and neither do case, accents, quotes, punctuation and emoji. Where it is doubtful, a sentence that is a
plain STOP is one; "stop by tomorrow" and "cancel my appointment" are not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from typing import Literal

Keyword = Literal["stop", "start", "help"]
KEYWORDS: tuple[Keyword, ...] = ("stop", "start", "help")

# Whoever says one of these, among words that mean nothing, means us.
_STOP = frozenset((
    "stop", "stopp", "stops", "stopall", "unsubscribe", "unsubscribed", "unsub", "optout", "revoke",
    "arret", "arrete", "arreter", "desabonner", "baja", "abmelden", "abbestellen", "afmelden", "sair", "avsluta",
    "annulla", "disiscrivimi",
))  # fmt: skip
# These mean something else as soon as anything but politeness stands beside them.
_WEAK_STOP = frozenset(("cancel", "end", "quit", "parar", "alto", "cancelar", "stopper"))
_START = frozenset(("start", "unstop", "optin", "subscribe"))
_WEAK_START = frozenset(("yes",))
_HELP = frozenset(("help", "info", "aide", "ayuda", "hilfe"))
_POLITE = frozenset((
    "please", "pls", "plz", "now", "thanks", "thank", "you", "thx", "ok", "okay", "hi", "hello", "bitte", "danke",
    "merci", "svp", "por", "favor", "gracias",
))  # fmt: skip
_FILLERS = _POLITE | frozenset((
    "me", "all", "it", "this", "these", "those", "that", "the", "sending", "send", "texting", "text", "texts",
    "messaging", "message", "messages", "msg", "msgs", "sms", "email", "emails", "emailing", "mail", "mails",
    "contacting", "contact", "spamming", "spam", "bothering", "immediately", "i", "want", "wish", "would", "like", "to",
    "us", "my", "number", "from", "your", "list", "just", "and", "anymore", "any", "ever", "im", "am", "asking", "said",
    "again", "at", "once", "whatsapp", "no", "more",
))  # fmt: skip
_PHRASES = re.compile(
    r"(please )?(i (want|wish|would like) to )?("
    r"opt (me )?out|remove (me|my number)|take me off|delete my number"
    r"|no more (texts?|messages?|e ?mails?|sms)"
    r"|(do not|don ?t) (text|message|contact|e ?mail|write to|send)( to)? ?(me|this number)?"
    r")\b"
)
_START_PHRASES = re.compile(r"opt (me )?(back )?in")
_STOP_SIGN = "\N{OCTAGONAL SIGN}"
_APOSTROPHES = re.compile(r"['’`´]")
_SENTENCE_END = re.compile(r"[.!?;:,\n\r…—–]+")
_SPELLED = re.compile(r"\b(?:\w ){2,}\w\b")
# Longer texts aren't commands, and nobody is made to wait for them to be read.
_LONGEST = 1000


def read_keyword(text: str, more: Mapping[Keyword, Collection[str]] | None = None) -> Keyword | None:
    """What a text commands; None for everything else, which is a reply for people to read.

    more: further words and phrases, of other languages; each means it alone, or beside words that mean nothing. What is
    both a STOP and something else is a STOP.
    """
    plain = _plain(text)
    whole = _words(plain)
    if not whole:
        return None
    own = _own(whole, more or {})
    if own == "stop":
        return own
    if set(whole) <= _WEAK_STOP | _POLITE and set(whole) & _WEAK_STOP:
        return "stop"
    if any(_is_stop(_words(sentence)) for sentence in (plain, *_SENTENCE_END.split(plain))):
        return "stop"
    said = [word for word in whole if word not in _POLITE]
    if len(said) == 1 and said[0] in _START | _HELP:
        return "start" if said[0] in _START else "help"
    if (len(whole) == 1 and whole[0] in _WEAK_START) or _START_PHRASES.fullmatch(" ".join(said)):
        return "start"
    return own


def _plain(text: str) -> str:
    plain = _APOSTROPHES.sub("", unicodedata.normalize("NFKC", text[:_LONGEST]))
    plain = plain.replace(_STOP_SIGN, " stop ").casefold()
    return "".join(
        letter
        for letter in unicodedata.normalize("NFKD", plain)
        if unicodedata.category(letter) not in ("Mn", "Cf")
    )


def _own(whole: list[str], more: Mapping[Keyword, Collection[str]]) -> Keyword | None:
    said = [word for word in whole if word not in _POLITE]
    for keyword in KEYWORDS:
        for written in more.get(keyword, ()):
            meant = _words(_plain(written))
            if meant and (meant in (whole, said) or (keyword == "stop" and _is_own_stop(meant, whole))):
                return keyword
    return None


def _is_own_stop(meant: list[str], whole: list[str]) -> bool:
    return len(meant) == 1 and meant[0] in whole and set(whole) <= {meant[0]} | _FILLERS


def _words(text: str) -> list[str]:
    spaced = re.sub(r"[\W_]+", " ", text).strip()
    return _SPELLED.sub(lambda found: found.group().replace(" ", ""), spaced).split()


def _is_stop(words: list[str]) -> bool:
    found = set(words)
    if found & _STOP and found <= _STOP | _FILLERS:
        return True
    sentence = " ".join(words)
    phrase = _PHRASES.match(sentence)
    # What follows must not be a condition: "don't text me before noon" is for people to read.
    return phrase is not None and set(sentence[phrase.end() :].split()) <= _FILLERS
