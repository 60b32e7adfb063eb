"""``pelton audit``: what makes an application unsafe with threads or processes, found by running it.

Owns the looks at an application that is called directly, without a server: `state` (what requests change),
`interleaving` (what they change of each other), `files`, `beginnings` (what exists before a fork), `source`
(what can be read). Must not know the command line. One process, which ends afterwards; main thread.
"""
