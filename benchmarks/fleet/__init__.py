"""Three unequal hosts behind a real HAProxy: what each way to spread requests costs, what an end loses."""
