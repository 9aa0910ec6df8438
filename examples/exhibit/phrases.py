"""The words of the museum: what its labels and its visitors may say.

Braces are slots that grammar.py fills.  Slots that agree in number ("{was}",
"{They}") are spelt as they stand for one thing, so each line reads as English.
"""

PLACES = (
    "Harrowmere", "Port Selden", "Old Tannick", "Veldross", "Quillby", "Marrowdale", "Little Fenwater",
    "Brackenholt", "Lower Ashmarsh", "Cape Dorrin", "Thornquay", "Kestrel Bay", "Upper Wend", "Saltmarrow",
)  # fmt: skip
PERSONS = (
    "a retired stationmaster", "a baker's daughter", "a ferryman", "an old gardener", "a night nurse",
    "a ship's cook", "a patient widow", "a schoolteacher", "a lighthouse keeper", "an honest thief",
    "a tall apprentice", "an absent-minded doctor",
)  # fmt: skip
MAKERS = ("a {trade}", "a young {trade}", "two {trade}s", "an unknown {trade}", "a travelling {trade}")
ASIDES = (
    "who also kept bees", "who never signed anything", "who worked only by daylight", "who sang at work",
    "who had come from the sea", "who was said to be in a hurry",
)  # fmt: skip

OPENINGS = (
    "{This} {stuff} {noun} {was} made in {place} by {maker} in about {year}.",
    "{A_thing} from {place}, made by {maker} in about {year}.",
    "{Maker} of {place} made {this} {stuff} {noun} in about {year}.",
    "{Noun}, {stuff}, about {year}. {Maker} of {place} made {it}.",
    "The {stuff} {noun} shown here {was} made in about {year} in {place}, by {a_trade} {aside}.",
)
USES = (
    "{Users} used {it} to {use}.",
    "{They} helped {users} to {use}.",
    "With {it}, {users} could {use}.",
    "{They} {was} made for {users}, who wanted to {use}.",
    "{Users} relied on {it} to {use}.",
)
CLOSINGS = (
    "{They} {was} given to the museum by {donor} in {later}.",
    "{They} {was} found in an attic in {elsewhere} in {later}, wrapped in a curtain.",
    "{They} came to the museum in {later}, in a box marked as fragile.",
    "{Donor} sold {it} to the museum in {later} for the price of a hat.",
    "{They} {was} bought at a market in {elsewhere} in {later}.",
    "Please do not touch {it}.",
)

# What may be said of a part, and of a material by its family: (good news?, phrase).
PART_NEWS = (
    (True, "{is} as good as new"), (True, "{has} been carefully mended"), (True, "{is} finely made"),
    (False, "{has} seen better days"), (False, "{is} badly worn"), (False, "{is} missing"),
)  # fmt: skip
STUFF_NEWS = {
    "brass iron copper steel silver tin pewter bronze aluminium": (
        (True, "is bright with polish"), (True, "still shines"),
        (False, "has darkened with age"), (False, "is dented on one side"),
    ),
    "oak walnut pine maple beech ebony elm mahogany cherrywood ash": (
        (True, "has kept its warm colour"), (True, "is smooth from many hands"),
        (False, "is cracked along the grain"), (False, "was scorched by a stove"),
    ),
    "linen silk cotton leather lace paper": (
        (True, "has kept its colour"), (False, "has faded in the sun"), (False, "is worn thin at the edges"),
    ),
    "glass porcelain stoneware plastic marble slate limestone": (
        (True, "is as smooth as ever"), (False, "has a fine crack"), (False, "is scratched"),
    ),
}  # fmt: skip

REQUESTS = (
    "Tell me about {a_thing}.", "Tell me about the {thing}.", "Describe the {thing}.", "Describe {a_thing}.",
    "What {is} {this} {thing}?", "Who made the {thing}?", "How old {is} the {thing}?",
    "What {was} the {thing} used for?",
    "Please show me {a_thing}.", "I would like to see the {thing}.", "Do you have {a_thing}?", "{A_thing}, please.",
    "Write a label for {a_thing}.", "Write a museum label for {a_thing}.", "Tell me a story about {a_thing}.",
    "Can you tell me about the {thing}?", "What can you say about {a_thing}?", "Is there {a_thing} here?",
    "Let me see the {thing}.", "tell me about the {thing}", "Where is the {thing} from?", "I have found {a_thing}.",
    "{Thing}", "{Thing}.", "{thing}", "the {thing}", "{a_thing}", "{A_thing}.",
)  # fmt: skip
GREETINGS = (
    "Hello", "Hello.", "Hi", "Hi there", "Good morning.", "Good day!", "Who are you?", "What can you do?", "Help",
)  # fmt: skip
STRANGERS = (
    "toaster", "banana", "rocket", "elephant", "castle", "dragon", "submarine", "pizza", "guitar", "laptop", "robot",
    "cat", "dog", "tree", "mountain", "car", "aeroplane", "sword", "shield", "spoon", "carpet", "statue", "diamond",
    "river", "house", "phone", "bus", "shoe", "hat", "window", "train", "piano", "apple", "fridge", "king", "moon rock",
    "mummy", "dinosaur", "whale", "coin", "vase", "crown", "battery", "television", "satellite", "tractor", "helmet",
)  # fmt: skip
SYLLABLES = (
    "ba", "co", "di", "fu", "gra", "hol", "in", "jo", "ka", "lum", "mer", "no", "or", "pli", "qua",
    "ri", "sto", "tu", "un", "ver", "wa", "xi", "yo", "zen", "th", "s", "ck", "ing", "er", "a",
)  # fmt: skip
# Characters outside the alphabet, so that the byte tokens are not strangers to the model.
FOREIGN = 'éüñøßçÆλπΣжЯ中日本語한あ€£°½«»…∞☂♞🙂🔭!#$%&()*+/<=>@[]^_`{|}~\\"0123456789'
