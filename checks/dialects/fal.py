"""fal: python `fal-client`, unmodified. BASE_URL stands for https://queue.fal.run

The SDK knows only https. With an https BASE_URL its own switch is used, FAL_QUEUE_RUN_HOST (host and port, no path; trust the
certificate by SSL_CERT_FILE). With an http BASE_URL the module's constant is set from outside: nothing in the package is edited,
but it isn't an official switch."""
import hashlib, json, os, time, urllib.request
from _acceptance import *
secure = base().startswith('https://')
if secure: os.environ['FAL_QUEUE_RUN_HOST'] = base().removeprefix('https://')
os.environ['FAL_KEY'] = 'key_id:key_secret'
import fal_client, fal_client.client
if not secure: fal_client.client.QUEUE_URL_FORMAT = base() + '/'
APP = 'fal-ai/veo3/fast'
c = fal_client.SyncClient()

text, headers = directive('1s'); seen = []
out = c.subscribe(APP, {'prompt': 'a corgi ' + text}, with_logs=True, headers=headers, on_queue_update=lambda s: seen.append(type(s).__name__))
check('subscribe() to the end', out['video']['url'], ' > '.join(dict.fromkeys(seen)))
text, headers = directive('500ms')
h = c.submit(APP, {'prompt': text}, headers=headers)
check('submit, iter_events, get', isinstance(list(h.iter_events(interval=.1))[-1], fal_client.Completed) and h.get()['video'])
check('status and result by id', isinstance(c.status(APP, h.request_id, with_logs=True), fal_client.Completed) and c.result(APP, h.request_id)['video'])
text, headers = directive('400ms', error='boom')
h = c.submit(APP, {'prompt': text}, headers=headers)
try: h.get(); check('a failing job raises FalClientHTTPError', False)
except fal_client.FalClientHTTPError as e: check('a failing job raises FalClientHTTPError', e.status_code >= 400 and e.error_type, f'{e.status_code} {e.error_type} {e}')
s = h.status(); check('its status is COMPLETED with an error', isinstance(s, fal_client.Completed) and s.error, s.error)
text, headers = directive('1h')
h = c.submit(APP, {'prompt': text}, headers=headers); h.cancel()
check('cancel', True)
t0 = time.monotonic()
try: c.subscribe(APP, {'prompt': text}, headers=headers, client_timeout=1.5); check('client_timeout raises and cancels', False)
except fal_client.FalClientTimeoutError as e: check('client_timeout raises and cancels', e.request_id and time.monotonic() - t0 < 4, e)

r = Receiver(); text, headers = directive('400ms')
h = c.submit(APP, {'prompt': text}, webhook_url=r.url, headers=headers)
got, body = r.take(); got = {k.lower(): v for k, v in got.items()}
# The SDK has no verifier; this is the documented rule, with the key set of the same origin.
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
import base64
keys = json.load(urllib.request.urlopen(base() + '/.well-known/jwks.json'))['keys']
raw = lambda k: base64.urlsafe_b64decode(k['x'] + '=' * (-len(k['x']) % 4))
message = '\n'.join([got['x-fal-webhook-request-id'], got['x-fal-webhook-user-id'], got['x-fal-webhook-timestamp'], hashlib.sha256(body).hexdigest()]).encode()
def valid(m):
    for k in keys:
        try: Ed25519PublicKey.from_public_bytes(raw(k)).verify(bytes.fromhex(got['x-fal-webhook-signature']), m); return True
        except Exception: pass
    return False
told = json.loads(body)
check('webhook verifies by JWKS', valid(message) and told['request_id'] == h.request_id and told['status'] == 'OK' and abs(time.time() - int(got['x-fal-webhook-timestamp'])) < 300)
check('a forged one does not', not valid(message + b'0'))
done()
