"""Django's cache and its sessions: django_backends.py PORT.

For: the configuration that the README shows. May touch: the server at PORT, whose database 1 it clears.
"""

import sys
import time

import django
from django.conf import settings

settings.configure(
    CACHES={
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": f"redis://127.0.0.1:{sys.argv[1]}/1",
        }
    },
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    SECRET_KEY="a key for a test",
)
django.setup()

from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402
from django.core.cache import cache  # noqa: E402


def caching():
    cache.clear()
    cache.set("a", {"any": ["value"]}, timeout=100)
    assert cache.get("a") == {"any": ["value"]} and cache.get("none", "default") == "default"
    assert cache.add("b", 1) and not cache.add("b", 2) and cache.incr("b", 4) == 5 and cache.decr("b") == 4
    assert cache.set_many({"c": 3, "d": "four"}, timeout=100) == []
    assert cache.get_many(["b", "c", "d", "none"]) == {"b": 4, "c": 3, "d": "four"}
    assert cache.touch("c", 1000) and not cache.touch("none") and cache.has_key("c") and "none" not in cache
    assert cache.get_or_set("e", lambda: "made") == "made" and cache.get("e") == "made"
    cache.delete_many(["c", "d"])
    assert cache.delete("a") and not cache.delete("a") and cache.get_many(["a", "c", "d"]) == {}
    cache.set("v", "first", version=1)
    assert cache.incr_version("v") == 2 and cache.get("v", version=2) == "first"
    cache.set("short", 1, timeout=0.03)
    end = time.monotonic() + 20
    while cache.get("short") is not None:
        assert time.monotonic() < end, "a key stayed"
        time.sleep(0.01)
    try:
        cache.incr("none")
        raise AssertionError("a missing key was counted")
    except ValueError:
        pass
    cache.clear()
    assert cache.get("b") is None


def sessions():
    session = SessionStore()
    session["user"] = 42
    session.set_expiry(300)
    session.save()
    again = SessionStore(session.session_key)
    assert again["user"] == 42 and again.exists(session.session_key)
    old = again.session_key
    again.cycle_key()
    assert again["user"] == 42 and not again.exists(old)
    again.flush()
    assert not SessionStore().exists(again.session_key or old)


caching()
sessions()
print("Django", django.get_version(), "keeps its cache and its sessions")
