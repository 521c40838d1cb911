"""Playbooks as people write them, for tests of whatever takes their text."""

from __future__ import annotations

CARE = """playbook: care
title: A word now and then
owner: cs-ops
status: live
goal:
  event: {name: login}
  within: 7d
steps:
  - id: word
    in_app: {title: "Hello", text: "We are here."}
"""
