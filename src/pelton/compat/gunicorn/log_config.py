"""logconfig, logconfig_dict and logconfig_json: the standard logging, configured as a file says.

Owns the translation of names: what is meant for gunicorn.error goes to pelton's logger. In the supervisor,
before anything is forked.
"""

from __future__ import annotations

import copy
import json
import logging
import logging.config
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pelton.exceptions import ConfigError

_THEIRS, _OURS = "gunicorn.error", "pelton"


def configure_logging(options: Mapping[str, Any]) -> None:
    """Raises ConfigError when a file cannot be read or says something impossible."""
    try:
        if options.get("logconfig_dict"):
            _from_dict(options["logconfig_dict"])
        elif options.get("logconfig_json"):
            _from_dict(json.loads(Path(options["logconfig_json"]).read_text()))
        elif options.get("logconfig"):
            _from_file(str(options["logconfig"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError) as error:
        cause = error.__cause__
        raise ConfigError(
            f"The configuration of logging is refused: {error}.", *([f"{cause}"] if cause is not None else [])
        ) from None


def _from_dict(given: Mapping[str, Any]) -> None:
    config: dict[str, Any] = copy.deepcopy(dict(given))
    config.setdefault("version", 1)
    config.setdefault("disable_existing_loggers", False)
    loggers = config.setdefault("loggers", {})
    theirs = loggers.get(_THEIRS)
    if theirs is not None and _OURS not in loggers:
        loggers[_OURS] = theirs
    logger = logging.getLogger(_OURS)
    before, propagate = list(logger.handlers), logger.propagate
    logging.config.dictConfig(config)
    if _OURS not in loggers:
        # Nothing is said about it: it keeps its handler, or goes to the root's, if that has one now.
        _settle(logger, before, propagate, root_speaks="root" in config)


def _from_file(path: str) -> None:
    logger = logging.getLogger(_OURS)
    before, propagate = list(logger.handlers), logger.propagate
    logging.config.fileConfig(path, disable_existing_loggers=False)
    theirs = logging.getLogger(_THEIRS)
    if theirs.handlers:
        logger.handlers, logger.propagate = list(theirs.handlers), False
        if theirs.level:
            logger.setLevel(theirs.level)
    else:
        _settle(logger, before, propagate, root_speaks=True)


def _settle(
    logger: logging.Logger, before: list[logging.Handler], propagate: bool, *, root_speaks: bool
) -> None:
    if root_speaks and logging.getLogger().handlers:
        logger.handlers, logger.propagate = [], True
    else:
        logger.handlers, logger.propagate = before, propagate
