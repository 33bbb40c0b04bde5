"""HeyGen, by the rules of its own CLI (heygen-com/heygen-cli, Go), as there is no SDK on PyPI or npm. Standard library only.
BASE_URL stands for https://api.heygen.com (the CLI: env HEYGEN_API_BASE). Where env HEYGEN_CLI names a `heygen` binary, it is run too."""
import hashlib, hmac, json, os, random, subprocess, time, urllib.error, urllib.request, uuid
from _acceptance import *
FAST = float(os.environ.get('HEYGEN_BASE_DELAY', '0.2'))            # the CLI's is 2 s; its law is the same
class ApiError(Exception): pass
def call(method, path, body=None, headers={}):
    req = urllib.request.Request(base() + path, json.dumps(body).encode() if body is not None else None, {'x-api-key': 'test', 'content-type': 'application/json', 'user-agent': 'heygen-cli/dev', 'X-HeyGen-Source': 'cli', **headers}, method=method)
    try:
        with urllib.request.urlopen(req) as r: return json.load(r)
    except urllib.error.HTTPError as e:
        error = json.load(e)['error']; raise ApiError(e.code, error['code'], error['message'])
def dig(x, path):
    for p in path.split('.'): x = x[int(p)] if p.isdigit() else x[p]
    assert isinstance(x, str) and x; return x
def create_and_poll(create, body, status, id_at, headers={}, timeout=60):
    """The CLI's --wait: create, look at once, then 2 s doubling to 30 s, ±25 %; `completed` and `failed` end it, any other word goes on."""
    id = dig(call('POST', create, body, headers), id_at); end, n = time.monotonic() + timeout, 0
    while time.monotonic() < end:
        answer = call('GET', status.format(id)); word = dig(answer, 'data.status')
        if word in ('completed', 'failed'): return word, answer['data']
        time.sleep(min(FAST * 2 ** n, 15 * FAST) * random.uniform(.75, 1.25)); n += 1
    return 'timeout', answer['data']
def translate(duration, error=None, **more):
    text, headers = directive(duration, error)
    body = {'video': {'type': 'url', 'url': 'https://example.com/talk.mp4'}, 'output_languages': ['Spanish (Spain)'], 'title': 'talk ' + text, **more}
    return body, headers
TC, TS, TI = '/v3/video-translations', '/v3/video-translations/{}', 'data.video_translation_ids.0'

body, headers = translate('1s'); word, data = create_and_poll(TC, body, TS, TI, headers)
check('v3: a translation, created and waited for', word == 'completed' and data['video_url'] and data['output_language'], word)
body, headers = translate('500ms', 'boom'); word, data = create_and_poll(TC, body, TS, TI, headers)
check('v3: a failing one', word == 'failed' and data['failure_message'], data['failure_message'])
text, headers = directive('700ms'); word, data = create_and_poll('/v3/videos', {'type': 'avatar', 'avatar_id': 'a', 'script': 'hello ' + text, 'voice_id': 'v'}, '/v3/videos/{}', 'data.video_id', headers)
check('v3: a video', word == 'completed' and data['video_url'], word)
body, headers = translate('600ms', output_languages=['Spanish (Spain)', 'French (France)', 'German (Germany)'])
ids = call('POST', TC, body, headers)['data']['video_translation_ids']
check('v3: an id per language', len(ids) == len(set(ids)) == 3)
while True:
    rows = call('GET', f'{TC}/statuses?video_translation_ids={",".join(ids + ["nobody"])}')['data']; words = {x['video_id']: x['status'] for x in rows}
    if all(words[i] in ('completed', 'failed') for i in ids): break
    time.sleep(.2)
check('v3: the statuses of many at once', words['nobody'] == 'not_found' and all(words[i] == 'completed' for i in ids), words)
key = str(uuid.uuid4()); body, headers = translate('500ms')
a = call('POST', TC, body, {**headers, 'Idempotency-Key': key}); b = call('POST', TC, {**body, 'title': 'other'}, {**headers, 'Idempotency-Key': key})
check('v3: Idempotency-Key gives the same answer again', a == b)
seen, token = [], ''
while True:
    page = call('GET', f'{TC}?limit=2' + (f'&token={token}' if token else '')); seen += [x['id'] for x in page['data']]; token = page['next_token']
    if not page['has_more']: break
check('v3: list, by its pages', len(seen) == len(set(seen)) >= 6, len(seen))
try: call('GET', TS.format('nothere')); check('v3: an unknown id', False)
except ApiError as e: check('v3: an unknown id is 404 with an envelope', e.args[0] == 404 and e.args[1], e.args)
check('v3: delete', call('DELETE', TS.format(ids[0]))['data']['id'] == ids[0])
check('v3: the account', 'username' in call('GET', '/v3/users/me')['data'])

r = Receiver(); hook = call('POST', '/v3/webhooks/endpoints', {'url': r.url, 'events': ['video_translate.success', 'video_translate.fail']})['data']
body, headers = translate('500ms', callback_id='order-7'); id = dig(call('POST', TC, body, headers), TI)
def told(of):                                                         # the endpoint hears of whatever else ends meanwhile, too
    while True:
        got, raw = r.take(); event = json.loads(raw)
        if event['event_data'].get('video_translate_id') == of: return {k.lower(): v for k, v in got.items()}, raw, event
got, raw, event = told(id)
# No SDK verifies. The rule: hex HMAC-SHA256 of the raw body alone, under the whole text of the secret.
good = lambda x, s: hmac.compare_digest(got['heygen-signature'], hmac.new(s.encode(), x, hashlib.sha256).hexdigest())
check('v3: webhook, signed', good(raw, hook['secret']) and not good(raw + b' ', hook['secret']) and abs(time.time() - int(got['heygen-timestamp'])) < 300 and got['heygen-event-id'])
check('v3: it tells of the translation', event['event_type'] == 'video_translate.success' and event['event_data']['video_translate_id'] == id and event['event_data']['callback_id'] == 'order-7' and event['event_data']['url'], event['event_data'])
new = call('POST', f'/v3/webhooks/endpoints/{hook["endpoint_id"]}/rotate-secret')['data']['secret']
body, headers = translate('300ms', 'boom'); got, raw, event = told(dig(call('POST', TC, body, headers), TI))
check('v3: after a rotation only the new secret', good(raw, new) and not good(raw, hook['secret']) and event['event_type'] == 'video_translate.fail')
call('DELETE', f'/v3/webhooks/endpoints/{hook["endpoint_id"]}')

text, headers = directive('700ms'); id = call('POST', '/v2/video_translate', {'video_url': 'https://example.com/talk.mp4', 'output_language': 'Spanish', 'title': text}, headers)['data']['video_translate_id']
while (d := call('GET', f'/v2/video_translate/{id}')['data'])['status'] in ('pending', 'running'): time.sleep(.2)
check('v2: a translation ends as `success`', d['status'] == 'success' and d['url'], d['status'])
text, headers = directive('700ms'); id = call('POST', '/v2/video/generate', {'title': text, 'video_inputs': []}, headers)['data']['video_id']
while (d := call('GET', f'/v1/video_status.get?video_id={id}'))['data']['status'] in ('pending', 'waiting', 'processing'): time.sleep(.2)
check('v1: video_status.get ends as `completed`, in code 100', d['code'] == 100 and d['data']['status'] == 'completed' and d['data']['video_url'], d['data']['status'])

cli = os.environ.get('HEYGEN_CLI')
if cli:
    body, _ = translate('1s')
    p = subprocess.run([cli, 'video-translate', 'create', '-d', json.dumps(body), '--wait', '--timeout', '60s'], env={**os.environ, 'HEYGEN_API_BASE': base(), 'HEYGEN_API_KEY': 'test', 'HEYGEN_NO_ANALYTICS': '1'}, capture_output=True, text=True)
    check('the CLI itself: create --wait', p.returncode == 0 and json.loads(p.stdout)['data']['status'] == 'completed', p.stderr[:200])
    body, _ = translate('500ms', 'boom')
    p = subprocess.run([cli, 'video-translate', 'create', '-d', json.dumps(body), '--wait'], env={**os.environ, 'HEYGEN_API_BASE': base(), 'HEYGEN_API_KEY': 'test', 'HEYGEN_NO_ANALYTICS': '1'}, capture_output=True, text=True)
    check('the CLI itself: a failure is exit 1', p.returncode == 1, p.stderr[:200])
done()
