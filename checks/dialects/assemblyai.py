"""AssemblyAI: python `assemblyai`, unmodified. BASE_URL stands for https://api.assemblyai.com
The SDK lets nobody add a header to one request, so a directive by header goes on the client's session."""
import json
from _acceptance import *
import assemblyai as aai
aai.settings.api_key, aai.settings.base_url, aai.settings.polling_interval = 'test', base(), .3
def transcribe(duration, error=None, config=None, submit=False):
    text, headers = directive(duration, error)
    client = aai.Client(settings=aai.settings); client.http_client.headers.update(headers)
    t = aai.Transcriber(client=client)
    return (t.submit if submit else t.transcribe)('https://example.com/talk.mp3?' + text, config)
t = transcribe('1s')
check('transcribe() waits to the end', t.status == aai.TranscriptStatus.completed and t.text, t.status)
t = transcribe('500ms', 'boom')
check('a failing transcript', t.status == aai.TranscriptStatus.error and t.error, t.error)
t = transcribe('700ms', submit=True)
check('submit, then wait_for_completion()', t.status in (aai.TranscriptStatus.queued, aai.TranscriptStatus.processing) and t.wait_for_completion().status == aai.TranscriptStatus.completed)
t = transcribe('1h', submit=True)
try: t.wait_for_completion(poll_timeout=1); check('poll_timeout raises', False)
except aai.TranscriptError as e: check('poll_timeout raises', True, e)
r = Receiver()
t = transcribe('500ms', config=aai.TranscriptionConfig().set_webhook(r.url, 'X-Secret', 's3cret'), submit=True)
got, body = r.take()
check('webhook, with the header that was asked for', got.get('X-Secret') == 's3cret' and json.loads(body) == {'transcript_id': t.id, 'status': 'completed'}, body.decode())
t = transcribe('300ms')
check('sentences, paragraphs, subtitles', t.get_sentences()[0].text == t.text == t.get_paragraphs()[0].text and t.text in t.export_subtitles_srt() and t.text in t.export_subtitles_vtt())
check('a file of ours', aai.Transcriber().upload_file(__file__).startswith('https://'))
page = aai.Transcriber().list_transcripts(aai.ListTranscriptParameters(limit=3))
check('list', len(page.transcripts) == 3)
check('delete', aai.Transcript.delete_by_id(t.id).id == t.id)
done()
