"""Translations between mail servers and the policy; each module names the software it is for."""
