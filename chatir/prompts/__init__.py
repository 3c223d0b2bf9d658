"""Words to models and from them: prompts, what replies are cleaned of, and how many tokens a run will take."""

from chatir.prompts.prompt import Message, Prompt, Shot, ShotRound, load_prompt, prompt_names, prompts

__all__ = ["Message", "Prompt", "Shot", "ShotRound", "load_prompt", "prompt_names", "prompts"]
