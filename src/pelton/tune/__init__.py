"""``pelton tune``: what an application's requests cost, where it saturates, and which bounds suit it.

`load` is what is sent, `generator` sends it (a process of its own), `responses` reads what comes back.
`subject` stands around the application in the server's workers and counts into `counts`; `server` is one such
server. `alone` looks at each request by itself, `rising` at a load that grows, `model` says what follows for
other machines, `verdict` what to set, `tuning` does all of it in turn, `report` and `plots` show it. Must not
know the command line.
"""
