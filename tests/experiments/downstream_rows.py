"""Rows of downstream tasks, short enough for the tiny models, and scores to order."""

ROWS = {
    "sst2": [{"sentence": "a fine bridge ", "label": 1, "idx": 7}, {"sentence": "a late train ", "label": 0, "idx": 8}],
    "mrpc": [
        {"sentence1": "Ada spoke .", "sentence2": "It was Ada who spoke .", "label": 1},
        {"sentence1": "Ada spoke .", "sentence2": "The train was late .", "label": 0},
    ],
    "cola": [{"sentence": "The bridge stood.", "label": 1}, {"sentence": "Bridge the stood.", "label": 0}],
    "rte": [{"sentence1": "Ada is born.", "sentence2": "Ada lives.", "label": 0}],
    "nli": [
        {"sentence1": "Ada is born.", "sentence2": "Ada lives.", "label": "entailment"},
        {"sentence1": "Ada is born.", "sentence2": "Ada sings.", "label": "not_entailment"},
    ],
    "mnli": [{"premise": "Ada is born.", "hypothesis": "Ada sings", "label": 1}],
    "mmlu": [
        {"question": " Where? ", "subject": "virology", "choices": ["here", "there", "up", "down"], "answer": 2},
        {"question": "Who?", "subject": "anatomy", "choices": ["Ada", "Mei", "Ana", "Nils"], "answer": 3},
        {"question": "When?", "subject": "virology", "choices": ["1", "2", "3", "4"], "answer": 0},
    ],
}
