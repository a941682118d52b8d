python train.py --model org/model
