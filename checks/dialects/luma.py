"""Luma Dream Machine: python `lumaai`, unmodified. BASE_URL stands for https://api.lumalabs.ai (env LUMAAI_BASE_URL has /dream-machine/v1)
The SDK has no waiter; the loop is that of Luma's own README. Callbacks are unsigned."""
import json, os, time
from _acceptance import *
os.environ['LUMAAI_BASE_URL'] = base() + '/dream-machine/v1'
import lumaai as sdk
c = sdk.LumaAI(auth_token='luma-test', max_retries=0)
def wait(g):
    while g.state not in ('completed', 'failed'): time.sleep(.3); g = c.generations.get(id=g.id)
    return g
text, headers = directive('1s')
g = c.generations.create(prompt='a corgi ' + text, model='ray-2', extra_headers=headers)
check('create', g.id and g.state in ('queued', 'dreaming'), g.state)
g = wait(g); check('to the end', g.state == 'completed' and g.assets.video, g.state)
text, headers = directive('500ms', error='moderated')
g = wait(c.generations.create(prompt=text, model='ray-2', extra_headers=headers))
check('a failing generation', g.state == 'failed' and g.failure_reason, g.failure_reason)
r = Receiver(); text, headers = directive('500ms')
g = c.generations.create(prompt=text, model='ray-2', callback_url=r.url, extra_headers=headers)
states = []
while 'completed' not in states: states.append(json.loads(r.take()[1])['state'])
check('callbacks tell of it', states[-1] == 'completed', states)
l = c.generations.list(limit=2, offset=0)
check('list', len(l.generations) == 2 and l.has_more)
c.generations.delete(id=g.id)
try: c.generations.get(id=g.id); check('a deleted one is NotFoundError', False)
except sdk.NotFoundError: check('a deleted one is NotFoundError', True)
done()
