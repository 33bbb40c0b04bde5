"""Alibaba DashScope (Model Studio) video synthesis: python `dashscope`, unmodified. BASE_URL stands for https://dashscope.aliyuncs.com (env DASHSCOPE_HTTP_BASE_URL has /api/v1)"""
import os, sys, time
from _acceptance import *
os.environ['DASHSCOPE_HTTP_BASE_URL'] = base() + '/api/v1'
import dashscope as sdk
from dashscope import VideoSynthesis as V
sdk.api_key = 'k'
text, headers = directive('1s'); t0 = time.time()
r = V.call(model='wan2.2-t2v-plus', prompt='a corgi ' + text, headers=headers)
check('call() creates and waits', r.status_code == 200 and r.output.task_status == 'SUCCEEDED' and r.output.video_url, f'{time.time() - t0:.1f} s')
text, headers = directive('400ms', 'boom')
r = V.call(model='wan2.2-t2v-plus', prompt=text, headers=headers)
check('a failing task is returned as FAILED', r.output.task_status == 'FAILED' and r.output.get('message'), r.output.get('message'))
text, headers = directive('1h')
r = V.async_call(model='wan2.2-t2v-plus', prompt=text, headers=headers); c = V.cancel(r)
if c.status_code == 200: check('cancel while it is PENDING', V.fetch(r).output.task_status == 'CANCELED')
else: check('cancel of one that RUNs already is refused', c.code == 'UnsupportedOperation' and V.fetch(r).output.task_status == 'RUNNING', c.code)
check('list', V.list().status_code == 200)
check('an unknown id has the status UNKNOWN', V.fetch('nothere').output.task_status == 'UNKNOWN')
done()
