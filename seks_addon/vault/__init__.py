"""The vault: clients, agents, secrets and tokens in one SQLite file, every value encrypted.

master key  (from a key source, never in the database)
└ data key of a client, wrapped
└ a key of its own for every value → AES-256-GCM
"""

from seks_addon.vault.agents import Agent
from seks_addon.vault.clients import DEFAULT, Client
from seks_addon.vault.secrets import StoredSecret
from seks_addon.vault.store import Vault
from seks_addon.vault.tokens import Grant, Token

__all__ = ["DEFAULT", "Agent", "Client", "Grant", "StoredSecret", "Token", "Vault"]
