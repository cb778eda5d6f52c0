"""Why a mutant may survive: module, function, a pattern of its change, and the reason (see `mutation.py`)."""

EXPLAINED: tuple[tuple[str, str, str, str], ...] = (
    (
        "policy/criterion.py",
        "_judge_measurement",
        r"\+ value = measured.value if .* or True",
        "no difference: `_invalid` has refused a measurement without a value before",
    ),
    (
        "policy/criterion.py",
        "_invalid",
        r"tolerance",
        "the tolerance is for rounding: one or two billionths, with or without the edge, is open",
    ),
    (
        "policy/decide.py",
        "decide",
        "XXXX",
        "no difference for any digest: the placeholder is no SHA-256, so no evidence carries it",
    ),
    (
        "policy/decide.py",
        "_verdict",
        r"GateRun\(",
        "no difference: of a run that did not happen only its state is asked",
    ),
    ("policy/decide.py", "_run_reasons", r"get\(state", "no difference: None counts as none, like 0"),
    (
        "policy/decide.py",
        "_apply_waivers",
        r"by_gate.get",
        "no difference: without a run there is nothing to waive, as an empty list or as None",
    ),
    (
        "policy/decide.py",
        "_apply_waivers",
        r"else 1",
        "no difference: where the policy takes no waivers by name, none of them is usable",
    ),
    (
        "policy/decide.py",
        "_apply_waivers",
        r"and False else replace",
        "no difference: replaces None by None",
    ),
    ("policy/decide.py", "_apply_waivers", r"zip\(", "no difference: both lists have one entry a verdict"),
    (
        "policy/judge.py",
        "judge",
        r"rule_of|rule is None",
        "no difference: without a policy every gate has one rule, and `judge_criteria` fills it in",
    ),
    (
        "policy/judge.py",
        "judge_criteria",
        r"rule_of\(None, None\)",
        "no difference: without a policy the rule is the same for every gate",
    ),
    (
        "policy/judge.py",
        "_judge_limit",
        r'group or "XXXX"',
        "no difference: None is alone in its half of the order",
    ),
    (
        "policy/judge.py",
        "_judge_limit",
        r"alarms_suffice=guard",
        "no difference: a limit is an alarm under a guard only, and there alarms suffice",
    ),
)
