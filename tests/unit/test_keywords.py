"""What people write to stop, to start again, and for help."""

from __future__ import annotations

import pytest

from rules.keywords import Keyword, read_keyword

STOP = """
STOP|stop.|Stop|Stop please|please stop|STOPALL|stop all|UNSUBSCRIBE|CANCEL|END|QUIT|OPTOUT|REVOKE|opt out|OPT-OUT
Opt me out|ARRET|Arrêt|ARRÊT !|BAJA|baja por favor|abmelden|STOP 🛑|🛑|"Stop"|'stop'|«STOP»|(stop)|S T O P|ＳＴＯＰ
st\u200bop|*stop*|Stop!!!|please stop texting me|unsubscribe me from this list|Cancel please|quit!|STOP STOP STOP
stop sending me these messages|I want to unsubscribe|Stop it|no. stop|STOP. I never signed up for this
I'm done. Stop texting me|don't text me again|Don’t message me anymore|do not contact me|take me off your list
remove me|No more texts|remove my number please
"""
NOT = """
stop by tomorrow|cancel my appointment|don't stop|please don't stop|the end of the month|I quit smoking|non stop
nonstop|When does it end?|The bus stop|yes please|Yes, call me|help me with the import|info about pricing
start with me tomorrow|👍|don't text me before noon|can't stop laughing|no|weekend|stopover|restart|ok|?|...
Where is the unsubscribe button in the form builder?|I'd like to cancel the old plan and take the new one
Can I end the trial early?|don't remove my clients
"""
START = "START|start.|Unstop|UNSTOP please|yes|Yes!|opt in|opt me back in|subscribe"
HELP = "HELP|help?|INFO|info please|ayuda|🆘 help"


@pytest.mark.parametrize("text", [text for text in STOP.replace("\n", "|").split("|") if text])
def test_it_means_stop(text: str) -> None:
    assert read_keyword(text) == "stop"


def test_a_signature_under_it_makes_no_difference() -> None:
    assert read_keyword("Stop\n\nSent from my iPhone") == "stop"
    assert read_keyword("  \n STOP \r\n") == "stop"


@pytest.mark.parametrize("text", [text for text in NOT.replace("\n", "|").split("|") if text])
def test_it_is_for_people_to_read(text: str) -> None:
    assert read_keyword(text) is None


@pytest.mark.parametrize("text", START.split("|"))
def test_it_means_start(text: str) -> None:
    assert read_keyword(text) == "start"


@pytest.mark.parametrize("text", HELP.split("|"))
def test_it_means_help(text: str) -> None:
    assert read_keyword(text) == "help"


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text", ["", " ", "\x00", "s " * 50_000, "stop" * 50_000, "do not " * 20_000, "\ud800"]
)
def test_strange_and_long_texts_are_read_at_once(text: str) -> None:
    assert read_keyword(text) is None


MORE: dict[Keyword, list[str]] = {
    "stop": ["Lopeta", "älä lähetä"], "start": ["aloita"], "help": ["apua", "neuvo minua"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("LOPETA!", "stop"), ("lopeta please", "stop"), ("Lopeta messages now", "stop"), ("Älä lähetä.", "stop"),
        ("ala laheta", "stop"), ("Aloita", "start"), ("apua?", "help"), ("Neuvo minua, thanks", "help"),
        ("lopeta huomenna jos voit", None), ("aloita alusta", None), ("STOP", "stop"), ("help", "help"),
    ],
)  # fmt: skip
def test_words_of_the_policy_mean_the_same_beside_the_usual_ones(text: str, meant: str | None) -> None:
    assert read_keyword(text, MORE) == meant


def test_what_is_a_stop_too_is_a_stop() -> None:
    assert read_keyword("yes", {"stop": ["yes"]}) == "stop"
    assert read_keyword("help", {"stop": ["help"], "help": ["help"]}) == "stop"
    assert read_keyword("lopeta", {"stop": ["", " "]}) is None
