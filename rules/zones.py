"""Time zones: by name, by where a customer may be, and local times that don't exist or come twice."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

_SECOND = timedelta(seconds=1)

# ITU-T E.164 country codes and the countries (ISO 3166-1) that share them.
_CALLING_CODES = """
1 US CA AG AI AS BB BM BS DM DO GD GU JM KN KY LC MP MS PR SX TC TT VC VG VI|7 RU KZ|20 EG|27 ZA|30 GR|
31 NL|32 BE|33 FR|34 ES|36 HU|39 IT VA|40 RO|41 CH|43 AT|44 GB GG JE IM|45 DK|46 SE|47 NO SJ|48 PL|49 DE|
51 PE|52 MX|53 CU|54 AR|55 BR|56 CL|57 CO|58 VE|60 MY|61 AU CX CC|62 ID|63 PH|64 NZ|65 SG|66 TH|81 JP|82 KR|
84 VN|86 CN|90 TR|91 IN|92 PK|93 AF|94 LK|95 MM|98 IR|211 SS|212 MA EH|213 DZ|216 TN|218 LY|220 GM|221 SN|
222 MR|223 ML|224 GN|225 CI|226 BF|227 NE|228 TG|229 BJ|230 MU|231 LR|232 SL|233 GH|234 NG|235 TD|236 CF|
237 CM|238 CV|239 ST|240 GQ|241 GA|242 CG|243 CD|244 AO|245 GW|246 IO|248 SC|249 SD|250 RW|251 ET|252 SO|
253 DJ|254 KE|255 TZ|256 UG|257 BI|258 MZ|260 ZM|261 MG|262 RE YT|263 ZW|264 NA|265 MW|266 LS|267 BW|268 SZ|
269 KM|290 SH|291 ER|297 AW|298 FO|299 GL|350 GI|351 PT|352 LU|353 IE|354 IS|355 AL|356 MT|357 CY|358 FI AX|
359 BG|370 LT|371 LV|372 EE|373 MD|374 AM|375 BY|376 AD|377 MC|378 SM|380 UA|381 RS|382 ME|385 HR|386 SI|
387 BA|389 MK|420 CZ|421 SK|423 LI|500 FK|501 BZ|502 GT|503 SV|504 HN|505 NI|506 CR|507 PA|508 PM|509 HT|
590 GP BL MF|591 BO|592 GY|593 EC|594 GF|595 PY|596 MQ|597 SR|598 UY|599 CW BQ|670 TL|672 NF AQ|673 BN|
674 NR|675 PG|676 TO|677 SB|678 VU|679 FJ|680 PW|681 WF|682 CK|683 NU|685 WS|686 KI|687 NC|688 TV|689 PF|
690 TK|691 FM|692 MH|850 KP|852 HK|853 MO|855 KH|856 LA|880 BD|886 TW|960 MV|961 LB|962 JO|963 SY|964 IQ|
965 KW|966 SA|967 YE|968 OM|970 PS|971 AE|972 IL|973 BH|974 QA|975 BT|976 MN|977 NP|992 TJ|993 TM|994 AZ|
995 GE|996 KG|998 UZ
"""


@lru_cache(maxsize=1024)
def find_zone(name: str | None) -> ZoneInfo | None:
    """The zone of that IANA name; None for no name or an unknown one."""
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        # ZoneInfo raises each of these for one kind of wrong name or another (`..`, a folder, a NUL).
        return None


def zone_or_default(name: str | None, default: str) -> ZoneInfo:
    """The customer's zone, else the default one, else UTC."""
    return find_zone(name) or find_zone(default) or ZoneInfo("UTC")


def possible_zones(country: str | None, phone: str | None) -> tuple[ZoneInfo, ...]:
    """The zones where a customer of unknown zone may be: those of their country, else of their phone's
    countries; where the two don't agree, of both.

    Without either, or with one that the tables don't know: every zone of the world. A number's area says nothing:
    people take their numbers along, and nobody lives in an 0800.
    """
    by_country = _zones_by_country()
    numbered = _countries_of(phone)
    countries: Iterable[str] = numbered
    if country and country.upper() in by_country:
        agree = not numbered or country.upper() in numbered
        countries = [country.upper()] if agree else [country.upper(), *numbered]
    names = {name for code in countries for name in by_country.get(code, ())}
    return _zones(frozenset(names) or frozenset(name for names in by_country.values() for name in names))


def instant_at(local: datetime, zone: ZoneInfo) -> datetime:
    """The UTC instant at which clocks in `zone` show `local` (naive).

    Of a local time that comes twice, the first; of one that doesn't exist, the first instant after the gap.
    """
    try:
        instant = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if instant.astimezone(zone).replace(tzinfo=None, fold=0) == local.replace(fold=0):
            return instant
        before_gap = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    except OverflowError:
        return local.replace(tzinfo=UTC)
    low, high = before_gap.replace(microsecond=0), instant.replace(microsecond=0)
    offset = high.astimezone(zone).utcoffset()
    while high - low > _SECOND:
        middle = low + _SECOND * ((high - low) // _SECOND // 2)
        if middle.astimezone(zone).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return high


def second_instant_at(local: datetime, zone: ZoneInfo) -> datetime | None:
    """The second UTC instant at which clocks in `zone`, put back, show `local` (naive); None: it comes once."""
    try:
        first = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
        second = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    except OverflowError:
        return None
    # In a gap the order is the other way round.
    return second if second > first else None


def country_of_zone(name: str) -> str | None:
    """The country (ISO 3166-1) that a zone is named for; None for UTC and others that lie nowhere."""
    return next((country for country, names in _zones_by_country().items() if name in names), None)


def _countries_of(phone: str | None) -> tuple[str, ...]:
    digits = phone.strip().removeprefix("+") if phone and phone.strip().startswith("+") else ""
    codes = _calling_codes()
    return next((codes[digits[:length]] for length in (3, 2, 1) if digits[:length] in codes), ())


@lru_cache(maxsize=1)
def _calling_codes() -> dict[str, tuple[str, ...]]:
    entries = (entry.split() for entry in _CALLING_CODES.replace("\n", "").split("|"))
    return {code: tuple(countries) for code, *countries in entries}


@lru_cache(maxsize=1)
def _zones_by_country() -> dict[str, tuple[str, ...]]:
    """IANA's own table, from the `tzdata` package that zoneinfo falls back on too."""
    by_country: dict[str, list[str]] = {}
    for line in files("tzdata").joinpath("zoneinfo", "zone.tab").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            country, _, name, *_ = line.split("\t")
            by_country.setdefault(country, []).append(name)
    return {country: tuple(names) for country, names in by_country.items()}


@lru_cache(maxsize=512)
def _zones(names: Iterable[str]) -> tuple[ZoneInfo, ...]:
    return tuple(zone for name in sorted(names) if (zone := find_zone(name)) is not None)
