"""What constructors of species do: settings are checked at once, and what is heavy waits.

- `errors`: checks of settings that species share, and errors that name a setting
- `on_first_use`: objects that load on first use, and travel without what they have loaded
"""
