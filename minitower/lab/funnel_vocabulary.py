"""The words of the simulated world: its categories, cities and names. Chapter 8."""


def _words(listed: str) -> tuple[str, ...]:
    return tuple(listed.split())


# theme -> category -> (typical price, names of its places)
THEMES: dict[str, dict[str, tuple[float, tuple[str, ...]]]] = {
    "table": {
        "ramen": (14, ("Ramen Bar", "Noodle Counter")),
        "tapas": (28, ("Tapas Bar", "Bodega")),
        "vegan": (18, ("Green Kitchen", "Salad Counter")),
        "seafood": (42, ("Oyster Bar", "Fish Kitchen")),
    },
    "cup": {
        "coffee": (5, ("Coffee House", "Espresso Bar", "Roastery")),
        "bakery": (7, ("Bakery", "Pâtisserie")),
        "tea": (9, ("Tea Room", "Tea House")),
        "wine": (35, ("Wine Cellar", "Wine Bar")),
    },
    "stage": {
        "jazz": (25, ("Jazz Cellar", "Jazz Club")),
        "theatre": (38, ("Playhouse", "Theatre")),
        "comedy": (18, ("Comedy Cellar", "Improv Night")),
        "dance": (15, ("Dance Hall", "Tango Night")),
    },
    "quiet": {
        "museum": (14, ("Museum", "Cabinet of Curiosities")),
        "gallery": (8, ("Gallery", "Print Room")),
        "books": (12, ("Bookshop", "Reading Room")),
        "cinema": (11, ("Picture House", "Film Club")),
    },
    "outdoors": {
        "hiking": (6, ("Ridge Walk", "Forest Trail")),
        "climbing": (19, ("Climbing Hall", "Boulder Room")),
        "cycling": (16, ("Bike Tour", "Gravel Ride")),
        "kayak": (45, ("Kayak Trip", "Canoe Yard")),
    },
    "hands": {
        "yoga": (17, ("Yoga Loft", "Stretch Studio")),
        "spa": (58, ("Bath House", "Sauna")),
        "pottery": (40, ("Pottery Class", "Clay Studio")),
        "cooking": (62, ("Cooking Class", "Chef's Table")),
    },
}
KEYWORDS = _words(
    "cosy quiet loud candlelit family romantic rooftop riverside historic modern tiny grand "
    "organic spicy sweet seasonal vintage underground sunny late-night early-bird guided "
    "beginner expert solo groups dog-friendly accessible hands-on live outdoor indoor "
    "local hidden famous cheap luxury"
)
CITIES = _words(
    "Lisbon Porto Kyoto Osaka Turin Bologna Lyon Ghent Leipzig Basel Graz Gdansk "
    "Bergen Aarhus Tartu Split Seville Cork Bristol Montreal"
)
ADJECTIVES = _words(
    "Amber Blue Brave Bright Broken Copper Crooked Dancing Drowsy Electric Emerald First Floating "
    "Gentle Golden Green Honest Humming Idle Ivory Jolly Last Little Lucky Merry Midnight Old "
    "Painted Paper Patient Quiet Red Restless Rusty Salty Silver Sleepy Velvet Wandering "
    "White"
)
NAMESAKES = _words(
    "Anchor Badger Bell Bicycle Boot Cactus Clock Comet Crane Crow Drum Elephant Fern Fig Fox "
    "Hare Heron Kettle Lantern Lemon Magpie Mill Moon Moth Needle Oak Otter Owl Pear Piano Pike "
    "Raven Robin Sparrow Spoon Star Swan Tortoise Walnut Whale"
)
CATEGORIES = tuple(category for theme in THEMES.values() for category in theme)
