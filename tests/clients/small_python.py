"""openai-python beside chats: legacy completions, pictures, speech, and unsupported endpoints."""

import base64

import openai
from checks import URL, Arrivals, check, checks, raises, run, same

client = openai.OpenAI(base_url=URL, api_key="demo", max_retries=0, timeout=30)
PNG = b"\x89PNG\r\n\x1a\n"


@check
def completion():
    answer = client.completions.create(model="demo-echo", prompt="Once upon", max_tokens=50)
    choice = answer.choices[0]
    same((answer.object, choice.text, choice.finish_reason, choice.logprobs), ("text_completion", "Once upon", "stop", None))
    assert answer.id.startswith("cmpl-") and answer.usage.completion_tokens > 0


@check
def completion_list_and_echo():
    answer = client.completions.create(model="demo-echo", prompt=["a", "b"], n=2, echo=True)
    same([(choice.index, choice.text) for choice in answer.choices], [(0, "aa"), (1, "aa"), (2, "bb"), (3, "bb")])


@check
def completion_stream():
    arrivals, text = Arrivals(), ""
    options = {"include_usage": True}
    for chunk in client.completions.create(model="demo-story", prompt="Once", stream=True, stream_options=options):
        if chunk.choices and chunk.choices[0].text:
            arrivals.note()
            text += chunk.choices[0].text
        last = chunk
    assert text.endswith("it did.\n") and last.usage.total_tokens > 100
    arrivals.token_by_token()


@check
def completion_gap():
    answer = client.completions.create(model="demo-coder", prompt="def add(a, b):\n", suffix="\n\nprint(add(1, 2))")
    same(answer.choices[0].text, "    return a + b")


@check
def completion_tokens_refused():
    with raises(openai.BadRequestError, param="prompt[0]"):
        client.completions.create(model="demo-echo", prompt=[1, 2, 3])


@check
def image():
    answer = client.images.generate(model="demo-painter", prompt="a cat", n=2, size="1024x1024", quality="high")
    assert all(picture.url.endswith("/art/cat.png") for picture in answer.data), answer
    same((len(answer.data), answer.usage.total_tokens > 0), (2, True))


@check
def image_bytes():
    answer = client.images.generate(model="demo-painter-link", prompt="a cat", response_format="b64_json")
    assert base64.b64decode(answer.data[0].b64_json).startswith(PNG)


@check
def image_edit():
    pictures = [("cat.png", PNG), ("hat.png", PNG)]
    answer = client.images.edit(model="demo-painter", image=pictures, prompt="a hat", size="1536x1024", response_format="b64_json")
    assert base64.b64decode(answer.data[0].b64_json).startswith(PNG)


@check
def image_by_a_bot_that_talks():
    with raises(openai.BadRequestError, param="model"):
        client.images.generate(model="demo-echo", prompt="a cat")


@check
def speech():
    sound = client.audio.speech.create(model="demo-voice", input="hello", voice="alloy", response_format="wav", speed=1.5)
    same((sound.content[:4], sound.response.headers["content-type"]), (b"RIFF", "audio/wav"))


@check
def speech_stream():
    with client.audio.speech.with_streaming_response.create(model="demo-voice-link", input="hello", voice="ada") as sound:
        assert b"".join(sound.iter_bytes()).startswith(b"RIFF")


@checks(
    embeddings=lambda: client.embeddings.create(model="m", input="x"),
    moderations=lambda: client.moderations.create(input="x"),
    transcriptions=lambda: client.audio.transcriptions.create(model="m", file=("a.wav", b"RIFF")),
    files=lambda: client.files.list(),
    batches=lambda: client.batches.list(),
    vector_stores=lambda: client.vector_stores.list(),
    fine_tuning=lambda: client.fine_tuning.jobs.list(),
)
def not_served(call):
    with raises(openai.NotFoundError, status_code=404, code="not_found"):
        call()


run()
