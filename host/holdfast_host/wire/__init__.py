"""How processes of the host speak: frames, slots and the state page, control messages. Knows neither side."""
