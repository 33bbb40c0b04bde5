"""sync.so (lip sync): python `syncsdk`, unmodified. BASE_URL stands for https://api.sync.so. No waiter in the SDK; its README's loop sleeps 10 s.
The vendor shows the webhook secret on its dashboard alone; it is taken from what stands for that here, or from the env SYNC_SECRET."""
import hashlib, hmac, json, os, time, urllib.request
from _acceptance import *
from sync import Sync
from sync.common import Audio, Video
from sync.core.api_error import ApiError
c = Sync(base_url=base(), api_key='k')
def create(text, headers, **more):
    return c.generations.create(input=[Video(url='https://example.com/v.mp4'), Audio(url='https://example.com/a.wav?' + text)], model='lipsync-2', request_options={'additional_headers': headers, 'max_retries': 0}, **more)
def wait(g):
    while g.status not in ('COMPLETED', 'FAILED', 'REJECTED'): time.sleep(.2); g = c.generations.get(g.id)
    return g
g = create(*directive('1s')); check('create', g.status in ('PENDING', 'PROCESSING'), g.status)
g = wait(g); check('to the end', g.status == 'COMPLETED' and g.output_url, g.status)
g = wait(create(*directive('400ms', 'boom'))); check('a failing one', g.status == 'FAILED' and g.error and g.error_code, f'{g.error} {g.error_code}')
check('list', len(c.generations.list()) >= 2)
asked = urllib.request.Request(base() + '/dashboard/webhook-secret', headers={'x-api-key': 'k'})
secret = os.environ.get('SYNC_SECRET') or json.load(urllib.request.urlopen(asked))['secret']
r = Receiver(); g = create(*directive('400ms'), webhook_url=r.url); got, body = r.take()
t, v1 = (p.split('=', 1)[1] for p in got['Sync-Signature'].split(','))
check('webhook, signed', hmac.compare_digest(v1, hmac.new(secret.encode(), f'{t}.'.encode() + body, hashlib.sha256).hexdigest()) and json.loads(body)['id'] == g.id)
try: c.generations.get('nothere'); check('an unknown id is an ApiError', False)
except ApiError as e: check('an unknown id is an ApiError', e.status_code == 404)
done()
