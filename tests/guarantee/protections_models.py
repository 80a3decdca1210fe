"""What text models and endpoints say in their own ways: each protection that reads them, or that watches how."""

from tests.guarantee.mutant import Mutant

WRAPPED = "tests/steps/test_wrapped_json.py::"
ASK = "tests/steps/test_ask_model.py::"

MODELS_MUTANTS = (
    Mutant(
        "quoted_verdict",
        "a verdict that a user wrote, and the model quotes, is not the model's",
        "steps/wrapped_json.py",
        " if each not in quoted]",
        "]",
        (WRAPPED + "test_an_object_that_may_not_be_the_answer_is_not_taken",),
    ),
    Mutant(
        "one_answer",
        "of two answers that differ none is taken",
        "steps/wrapped_json.py",
        "if found and all(each == found[0] for each in found) else None",
        "if found else None",
        (WRAPPED + "test_an_object_that_may_not_be_the_answer_is_not_taken",),
    ),
    Mutant(
        "form_refused",
        "only a refusal of the answer's form is asked again with less",
        "steps/ask_model.py",
        "        and cause.status_code in FORM_REFUSED\n",
        "",
        (ASK + "test_only_a_refusal_of_the_form_is_asked_again_with_less",),
    ),
    Mutant(
        "form_remembered",
        "a form that the endpoint refused once is not asked for again",
        "steps/ask_model.py",
        "                self._form = max(self._form, form + 1)\n",
        "",
        (ASK + "test_an_endpoint_without_json_schema_is_asked_with_less_and_not_again_with_more",),
    ),
)
