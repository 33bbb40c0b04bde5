"""ElevenLabs: python `elevenlabs`, unmodified. BASE_URL stands for https://api.elevenlabs.io
Flows (video generation, with the SDK's own waiter), dubbing projects (translation of audio and video), legacy dubbing, webhooks."""
import time
from _acceptance import *
from elevenlabs import VideoGenerationRequest_BytedanceSeedanceV2 as Video, WebhookHmacSettings, WebhookTarget_Ids
from elevenlabs.client import ElevenLabs
from elevenlabs.flows_custom import FlowsWaitTimeoutError
from elevenlabs.errors import BadRequestError
from elevenlabs.core.api_error import ApiError
c = ElevenLabs(api_key='sk_test', base_url=base())
opts = lambda headers: {'additional_headers': headers, 'max_retries': 0}

text, headers = directive('1500ms'); t0 = time.monotonic()
g = c.flows.video.create_and_wait(request=Video(prompt='a corgi ' + text), min_poll_interval_in_seconds=.5, request_options=opts(headers))
check('flows.video.create_and_wait', g.status == 'completed' and g.content_url, f'{g.status} after {time.monotonic() - t0:.1f} s')
text, headers = directive('700ms', error='moderated')
g = c.flows.video.create_and_wait(request=Video(prompt=text), min_poll_interval_in_seconds=.5, request_options=opts(headers))
check('a failing generation', g.status == 'failed' and g.error_message, f'{g.failure_reason}: {g.error_message}')
text, headers = directive('1h')
try: c.flows.video.create_and_wait(request=Video(prompt=text), wait_timeout_in_seconds=1, min_poll_interval_in_seconds=.5, request_options=opts(headers)); check('a slow one raises FlowsWaitTimeoutError', False)
except FlowsWaitTimeoutError as e: check('a slow one raises FlowsWaitTimeoutError', c.flows.video.get(e.id).status in ('pending', 'generating'), e)
seen, cursor = [], None
while True:
    page = c.flows.video.list(page_size=2, cursor=cursor); seen += [x.id for x in page.generations]; cursor = page.next_cursor
    if not page.has_more: break
check('list, by its pages', len(seen) == len(set(seen)) >= 3, len(seen))

r = Receiver()
hook = c.webhooks.create(settings=WebhookHmacSettings(name='t', webhook_url=r.url))
check('webhooks.create gives the secret', hook.webhook_id and hook.webhook_secret)
text, headers = directive('600ms')
g = c.flows.video.create(request=Video(prompt=text, webhook=WebhookTarget_Ids(ids=[hook.webhook_id])), request_options=opts(headers))
got, body = r.take(); sig = next(v for k, v in got.items() if k.lower() == 'elevenlabs-signature')
event = c.webhooks.construct_event(body.decode(), sig, hook.webhook_secret)
check('webhook verifies by the SDK', event['data']['id'] == g.id, event['type'])
try: c.webhooks.construct_event(body.decode() + ' ', sig, hook.webhook_secret); check('a forged one does not', False)
except BadRequestError: check('a forged one does not', True)

text, headers = directive('1200ms')
p = c.dubbing.project.create(source_url='https://example.com/talk.mp4', reference=text or 'talk', target_language='es', webhook_ids=[hook.webhook_id], request_options=opts(headers))
check('dubbing.project.create', p.project_id and p.status in ('queued', 'preparing') and len(p.language_ids) == 1, p.status)
while p.status in ('queued', 'preparing'): time.sleep(.2); p = c.dubbing.project.get(p.project_id)
check('the project gets ready', p.status == 'ready', p.status)
l = c.dubbing.project.language.get(p.project_id, p.language_ids[0])
while l.status in ('queued', 'processing'): time.sleep(.2); l = c.dubbing.project.language.get(p.project_id, l.language_id)
check('the language completes', l.status == 'completed' and l.outputs.lossless_audio, l.status)
types = []
while not types or types[-1] != 'dubbing_language_completed':
    got, body = r.take(); types.append(c.webhooks.construct_event(body.decode(), next(v for k, v in got.items() if k.lower() == 'elevenlabs-signature'), hook.webhook_secret)['type'])
check('and webhooks tell of it', types[-1] == 'dubbing_language_completed', types)
check('a second language', c.dubbing.project.language.create(p.project_id, target_language='fr').target_language == 'fr' and len(c.dubbing.project.language.list(p.project_id).languages) == 2)
check('projects are listed', p.project_id in [x.project_id for x in c.dubbing.project.list(page_size=20).projects])
text, headers = directive('800ms', error='boom')
p = c.dubbing.project.create(source_url='https://example.com/talk.mp4', reference=text or 'talk', target_language='es', request_options=opts(headers))
l = c.dubbing.project.language.get(p.project_id, p.language_ids[0])
while l.status in ('queued', 'processing'): time.sleep(.2); l = c.dubbing.project.language.get(p.project_id, l.language_id)
check('a failing language', l.status == 'failed' and l.error.code and isinstance(l.error.retryable, bool), l.error.message)
c.dubbing.project.delete(p.project_id)
try: c.dubbing.project.get(p.project_id); check('a deleted project is 404', False)
except ApiError as e: check('a deleted project is 404', e.status_code == 404)

text, headers = directive('800ms')
d = c.dubbing.create(source_url='https://example.com/talk.mp4', target_lang='es', name=text or 'talk', request_options=opts(headers))
m = c.dubbing.get(d.dubbing_id)
while m.status == 'dubbing': time.sleep(.2); m = c.dubbing.get(d.dubbing_id)
check('legacy dubbing', m.status == 'dubbed' and b''.join(c.dubbing.audio.get(d.dubbing_id, 'es')), m.status)
done()
