"""Replicate: python `replicate`, unmodified. BASE_URL stands for https://api.replicate.com"""
import json
from _acceptance import *
import replicate as sdk
from replicate.exceptions import ModelError
from replicate.webhook import Webhooks, InvalidSignatureError

def client(headers=None): return sdk.Client(api_token='r8_test', base_url=base(), **({'headers': headers} if headers else {}))
c = client()

text, headers = directive('1s')
p = client(headers).predictions.create('owner/name:0123abcd', input={'prompt': 'a corgi ' + text})
check('create', p.id and p.status in ('starting', 'processing'), p.status)
p.wait(); check('wait to the end', p.status == 'succeeded' and p.output and p.completed_at, p.status)

text, headers = directive('600ms')
out = client(headers).run('owner/name', input={'prompt': 'held ' + text}, wait=10)
check('run() with Prefer: wait', out is not None, str(out))

text, headers = directive('500ms', error='boom')
try: client(headers).run('owner/name', input={'prompt': text}, wait=False); check('a failing job raises ModelError', False)
except ModelError as e: check('a failing job raises ModelError', e.prediction.status == 'failed' and bool(e.prediction.error), e)

text, headers = directive('1h')
p = client(headers).predictions.create('owner/name:0123abcd', input={'prompt': text}); p.cancel()
check('cancel', p.status == 'canceled', p.status); p.wait()

page = c.predictions.list(); seen = list(page)
while page.next: page = c.predictions.list(page.next); seen += list(page)
check('list, by its pages', len(seen) >= 4 and len({p.id for p in seen}) == len(seen), len(seen))

r = Receiver(); text, headers = directive('400ms')
p = client(headers).predictions.create('owner/name:0123abcd', input={'prompt': text}, webhook=r.url, webhook_events_filter=['completed'])
got, body = r.take(); secret = c.webhooks.default.secret()
Webhooks.validate(headers=got, body=body.decode(), secret=secret, tolerance=300)
told = json.loads(body)
check('webhook verifies by the SDK', told['id'] == p.id and told['status'] == 'succeeded', told['status'])
try: Webhooks.validate(headers=got, body=body.decode() + ' ', secret=secret); check('a forged one does not', False)
except InvalidSignatureError: check('a forged one does not', True)

try: c.predictions.get('nothere'); check('an unknown id is a ReplicateError', False)
except sdk.exceptions.ReplicateError as e: check('an unknown id is a ReplicateError', e.status == 404, e.status)

text, headers = directive('500ms')
out = client(headers).run('owner/name:0123abcd', input={'prompt': text})
check('run() of a version', '.mp4' in str(out), out)
out = client(headers).run('owner/name', input={'prompt': text, 'image': open(__file__, 'rb')})
check('run() with a file', '.mp4' in str(out), out)
out = client({}).run('owner/name:0123abcd', input={'prompt': 'abide:duration=0s,result=data'})
check('the file of a data: URL', len(out.read()) > 0, type(out).__name__)
text, headers = directive('700ms')
events = [e.event.value for e in client(headers).stream('owner/name', input={'prompt': text})]
check('stream() ends with done', events[-1] == 'done' and 'output' in events, events)
done()
