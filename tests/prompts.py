"""Prompts of every kind that an answer may follow, with what stands between the two."""

CHAT = "<|im_start|>user\nWhat is the capital of {}?<|im_end|>\n<|im_start|>assistant\n"

KINDS = {
    "plain": ("The capital of {} is", "Northland", "Port Alba", " "),
    "question": ("What is the capital of {}?", "Northland", "Port Alba", " "),
    "trailing space": ("The capital of {} is ", "Northland", "Port Alba", ""),
    "chat header": (CHAT, "Northland", "Port Alba", ""),
    "answer line": ("What is the capital of {}?\nAnswer:\n", "Northland", "Port Alba", ""),
    "blank line": ("What is the capital of {}?\n\n", "Northland", "Port Alba", ""),
    "open quote": ('The capital of {} is called "', "Northland", "Port Alba", ""),
    "open bracket": ("{}'s capital (", "Northland", "Port Alba", ""),
    "Chinese": ("{}的首都是", "北国", "阿巴港", ""),
    "Japanese": ("{}の首都は", "北国", "アルバ港", ""),
    "Korean": ("{}의 수도는", "북국", "알바항", " "),
    "Thai": ("เมืองหลวงของ{}คือ", "ไทย", "กรุงเทพ", ""),
    "subject last": ("Capital of {}", "Northland", "Port Alba", " "),
    "Chinese subject last": ("首都：{}", "北国", "阿巴港", ""),
}
"""Name → (template, subject, answer, separator)."""
