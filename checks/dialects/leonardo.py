"""Leonardo: python `leonardo-ai-sdk`, unmodified. BASE_URL stands for https://cloud.leonardo.ai. No waiter: the loop is that of its guide."""
import time, urllib.request
from _acceptance import *
from leonardo_ai_sdk import LeonardoAiSDK
from leonardo_ai_sdk.models import errors
c = LeonardoAiSDK(bearer_auth='test', server_url=base() + '/api/rest/v1')
def image(duration, error=None):
    text, headers = directive(duration, error)
    made = c.image.create_generation(request={'prompt': 'a corgi ' + text, 'width': 512, 'height': 512}, http_headers=headers)
    return made.object.sd_generation_job.generation_id
def read(id): return c.image.get_generation_by_id(id=id).object.generations_by_pk
def wait(id):
    while (g := read(id)).status.value == 'PENDING': time.sleep(.3)
    return g
id = image('1s'); check('create', read(id).status.value in ('PENDING', 'COMPLETE'), id)
g = wait(id); check('to the end', g.status.value == 'COMPLETE' and g.generated_images[0].url, g.generated_images[0].url)
check('its image is there', urllib.request.urlopen(g.generated_images[0].url).status == 200)
check('a failing one', wait(image('400ms', 'boom')).status.value == 'FAILED')
text, headers = directive('400ms')
v = c.image.create_text_to_video_generation(request={'prompt': 'a corgi ' + text}, http_headers=headers) if hasattr(c.image, 'create_text_to_video_generation') else c.motion.create_text_to_video_generation(request={'prompt': 'a corgi ' + text}, http_headers=headers)
v = wait(v.object.motion_video_generation_job.generation_id); check('a video', v.status.value == 'COMPLETE' and v.generated_images[0].motion_mp4_url, v.generated_images[0].motion_mp4_url)
me = c.user.get_user_self().object.user_details[0].user.id
first = c.image.get_generations_by_user_id(user_id=me, limit=2, offset=0).object.generations
more = c.image.get_generations_by_user_id(user_id=me, limit=2, offset=2).object.generations
check('list, by its pages', len(first) == 2 and more and first[0].id != more[0].id, f'{len(first)}, {len(more)}')
check('delete', c.image.delete_generation_by_id(id=id).object.delete_generations_by_pk.id == id and read(id) is None)
try: image('soon'); check('a wrong request is an SDKError', False)
except errors.SDKError as e: check('a wrong request is an SDKError', e.status_code == 400 and 'validation-failed' in e.body, e.status_code)
done()
