"""Where the generated visitors are: Iowa's towns by size, and a few places outside it.

Metros are Nielsen DMA codes as exchanges send them in `geo.metro`; ZIPs are the towns' own.
"""

import msgspec


class Place(msgspec.Struct, frozen=True):
    """A town; `weight` is its share of visitors, in thousands of residents."""

    city: str
    region: str
    metro: str
    zips: tuple[str, ...]
    lat: float
    lon: float
    weight: int
    country: str = "USA"


def _zips(*ranges: str) -> tuple[str, ...]:
    found = []
    for part in ranges:
        first, _, last = part.partition("-")
        found += [str(number) for number in range(int(first), int(last or first) + 1)]
    return tuple(found)


IOWA = (
    Place("Des Moines", "IA", "679", _zips("50309-50317", "50320-50321"), 41.59, -93.62, 214),
    Place("West Des Moines", "IA", "679", _zips("50265-50266"), 41.57, -93.75, 69),
    Place("Ankeny", "IA", "679", _zips("50021", "50023"), 41.73, -93.60, 68),
    Place("Ames", "IA", "679", _zips("50010", "50014"), 42.03, -93.62, 66),
    Place("Adel", "IA", "679", _zips("50003"), 41.61, -94.02, 6),
    Place("Marshalltown", "IA", "679", _zips("50158"), 42.05, -92.91, 27),
    Place("Fort Dodge", "IA", "679", _zips("50501"), 42.50, -94.17, 25),
    Place("Carroll", "IA", "679", _zips("51401"), 42.07, -94.87, 10),
    Place("Creston", "IA", "679", _zips("50801"), 41.06, -94.36, 8),
    Place("Cedar Rapids", "IA", "637", _zips("52401-52405", "52411"), 41.98, -91.67, 137),
    Place("Iowa City", "IA", "637", _zips("52240", "52245-52246"), 41.66, -91.53, 75),
    Place("Waterloo", "IA", "637", _zips("50701-50703"), 42.49, -92.34, 67),
    Place("Dubuque", "IA", "637", _zips("52001-52003"), 42.50, -90.66, 59),
    Place("Cedar Falls", "IA", "637", _zips("50613"), 42.53, -92.45, 41),
    Place("Decorah", "IA", "637", _zips("52101"), 43.30, -91.79, 8),
    Place("Davenport", "IA", "682", _zips("52801-52804", "52806-52807"), 41.52, -90.58, 101),
    Place("Bettendorf", "IA", "682", _zips("52722"), 41.52, -90.52, 39),
    Place("Clinton", "IA", "682", _zips("52732"), 41.84, -90.19, 24),
    Place("Burlington", "IA", "682", _zips("52601"), 40.81, -91.11, 24),
    Place("Sioux City", "IA", "624", _zips("51101", "51103-51106"), 42.50, -96.40, 86),
    Place("Spencer", "IA", "624", _zips("51301"), 43.14, -95.14, 11),
    Place("Council Bluffs", "IA", "652", _zips("51501", "51503"), 41.26, -95.86, 63),
    Place("Mason City", "IA", "611", _zips("50401"), 43.15, -93.20, 27),
    Place("Ottumwa", "IA", "631", _zips("52501"), 41.02, -92.41, 25),
    Place("Keokuk", "IA", "717", _zips("52632"), 40.40, -91.38, 10),
    Place("Sheldon", "IA", "725", _zips("51201"), 43.18, -95.86, 5),
)

ELSEWHERE = (
    Place("Chicago", "IL", "602", _zips("60601-60611"), 41.88, -87.63, 300),
    Place("Rock Island", "IL", "682", _zips("61201"), 41.51, -90.58, 60),
    Place("Omaha", "NE", "652", _zips("68102", "68104-68108"), 41.26, -95.93, 150),
    Place("Minneapolis", "MN", "613", _zips("55401-55409"), 44.98, -93.27, 150),
    Place("Madison", "WI", "669", _zips("53703-53705"), 43.07, -89.40, 80),
    Place("Kansas City", "MO", "616", _zips("64105-64114"), 39.10, -94.58, 90),
    Place("Sioux Falls", "SD", "725", _zips("57103-57106"), 43.55, -96.73, 60),
    Place("Los Angeles", "CA", "803", _zips("90012-90020"), 34.05, -118.24, 120),
    Place("Houston", "TX", "618", _zips("77002-77010"), 29.76, -95.37, 80),
)
