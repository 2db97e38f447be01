"""Key pairs of the people in histories, made once."""
from replayer import ed25519

seeds, numbers = {}, {}  # public key: seed, and number: public key


def key_of(number):
    """Public key number `number`."""
    if number not in numbers:
        seed = number.to_bytes(32, "little")
        numbers[number] = ed25519.public_key(seed)
        seeds[numbers[number]] = seed
    return numbers[number]
